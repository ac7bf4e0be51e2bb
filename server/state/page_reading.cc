// The format is https://www.sqlite.org/fileformat2.html, of which only what our
// tables have is read.
#include "server/state/page_reading.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

namespace portreeve::server {
namespace {

// The kinds of a page in a tree, by its first byte.
constexpr uint8_t kIndexInterior = 2;
constexpr uint8_t kTableInterior = 5;
constexpr uint8_t kIndexLeaf = 10;
constexpr uint8_t kTableLeaf = 13;

constexpr int kMaxDepth = 32;
constexpr int kAlone = -1;

// A part of the image, which is never read past its end.
class Bytes {
 public:
  explicit Bytes(std::string_view bytes) : bytes_(bytes) {}

  // Give nothing where it ends before.
  std::optional<uint64_t> Big(size_t at, size_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at) return std::nullopt;
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      value = value << 8 | static_cast<uint8_t>(bytes_[at + i]);
    }
    return value;
  }
  // Moves `at` on.
  std::optional<uint64_t> Varint(size_t& at) const {
    uint64_t value = 0;
    for (int i = 0; i < 9; ++i) {
      const auto byte = Big(at, 1);
      if (!byte) return std::nullopt;
      ++at;
      if (i == 8) return value << 8 | *byte;
      value = value << 7 | (*byte & 0x7f);
      if ((*byte & 0x80) == 0) break;
    }
    return value;
  }
  std::optional<std::string_view> Piece(size_t at, uint64_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at) return std::nullopt;
    return bytes_.substr(at, size);
  }

 private:
  const std::string_view bytes_;
};

std::optional<PageValue> ValueOf(uint64_t serial_type, const Bytes& payload,
                                 size_t& at) {
  constexpr size_t kIntegerSizes[] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0};
  PageValue value;
  if (serial_type >= 12) {
    const uint64_t size = (serial_type - 12) / 2;
    const auto piece = payload.Piece(at, size);
    if (!piece) return std::nullopt;
    at += size;
    value.type =
        serial_type % 2 == 0 ? PageValue::Type::kBlob : PageValue::Type::kText;
    value.bytes = std::string(*piece);
    return value;
  }
  if (serial_type >= std::size(kIntegerSizes)) return std::nullopt;
  if (serial_type == 0) return value;
  const size_t size = kIntegerSizes[serial_type];
  const auto raw = payload.Big(at, size);
  if (!raw) return std::nullopt;
  at += size;
  value.type =
      serial_type == 7 ? PageValue::Type::kOther : PageValue::Type::kInteger;
  if (serial_type >= 8) {
    value.integer = static_cast<int64_t>(serial_type) - 8;
  } else {
    const size_t unused = 64 - 8 * size;
    value.integer = static_cast<int64_t>(*raw << unused) >> unused;
  }
  return value;
}

std::optional<PageRow> RowOf(int64_t rowid, std::string_view bytes) {
  const Bytes payload(bytes);
  size_t at = 0;
  const auto header = payload.Varint(at);
  if (!header || *header > bytes.size()) return std::nullopt;
  PageRow row;
  row.rowid = rowid;
  size_t value_at = *header;
  while (at < *header) {
    const auto type = payload.Varint(at);
    if (!type) return std::nullopt;
    auto value = ValueOf(*type, payload, value_at);
    if (!value) return std::nullopt;
    row.columns.push_back(*std::move(value));
  }
  return row;
}

class Reading {
 public:
  Reading(std::string_view image, const std::function<void(PageRow)>& take)
      : image_(image),
        num_pages_(
            static_cast<uint32_t>((image.size() + kPageSize - 1) / kPageSize)),
        seen_(num_pages_ + 1),
        take_(take) {}

  std::vector<uint32_t> Run(const std::vector<uint32_t>& roots) {
    if (num_pages_ > 0) seen_[1] = true;
    const bool free_is_known = MarkFree();
    for (const uint32_t root : roots) {
      if (!ReadTree(root, 0)) damaged_.insert(root);
    }
    if (free_is_known) ReadLost();
    return {damaged_.begin(), damaged_.end()};
  }

 private:
  bool IsPage(uint64_t number) const {
    return number >= 1 && number <= num_pages_;
  }
  Bytes PageAt(uint32_t number) const {
    return Bytes(image_.substr((number - 1) * kPageSize, kPageSize));
  }

  // Marks the free pages as seen, and gives whether they are known.
  bool MarkFree() {
    const Bytes file(image_);
    const auto first = file.Big(32, 4);
    const auto count = file.Big(36, 4);
    if (!first || !count) return false;
    std::set<uint64_t> free;
    for (uint64_t trunk = *first; trunk != 0;) {
      if (!IsPage(trunk) || !free.insert(trunk).second) return false;
      const Bytes page = PageAt(static_cast<uint32_t>(trunk));
      const uint64_t entries = page.Big(4, 4).value_or(kPageSize);
      if (entries > kPageSize / 4 - 2) return false;
      for (uint64_t i = 0; i < entries; ++i) {
        const auto leaf = page.Big(8 + 4 * i, 4);
        if (!leaf || !IsPage(*leaf) || !free.insert(*leaf).second) return false;
      }
      trunk = page.Big(0, 4).value_or(0);
    }
    if (free.size() != *count) return false;
    for (const uint64_t page : free) seen_[page] = true;
    return true;
  }

  // Gives false where there is no page to be read, or it was read before.
  bool ReadTree(uint64_t number, int depth) {
    if (!IsPage(number) || seen_[number] || depth > kMaxDepth) return false;
    seen_[number] = true;
    ReadPage(static_cast<uint32_t>(number), depth);
    return true;
  }

  // Reads the rows of a page, and those it leads to unless `depth` is kAlone.
  void ReadPage(uint32_t number, int depth) {
    const Bytes page = PageAt(number);
    const uint64_t kind = page.Big(0, 1).value_or(0);
    const bool is_interior = kind == kIndexInterior || kind == kTableInterior;
    const auto cells = page.Big(3, 2);
    if ((!is_interior && kind != kIndexLeaf && kind != kTableLeaf) || !cells ||
        *cells > kPageSize / 4) {
      damaged_.insert(number);
      return;
    }
    const size_t pointers = is_interior ? 12 : 8;
    for (size_t i = 0; i < *cells; ++i) {
      const auto cell = page.Big(pointers + 2 * i, 2);
      if (!cell || !ReadCell(number, *cell, kind, depth))
        damaged_.insert(number);
    }
    if (is_interior && depth != kAlone &&
        !ReadTree(page.Big(8, 4).value_or(0), depth + 1)) {
      damaged_.insert(number);
    }
  }

  bool ReadCell(uint32_t number, size_t at, uint64_t kind, int depth) {
    const Bytes page = PageAt(number);
    bool is_whole = true;
    if (kind == kIndexInterior || kind == kTableInterior) {
      if (depth != kAlone &&
          !ReadTree(page.Big(at, 4).value_or(0), depth + 1)) {
        // The row beside it may be whole.
        is_whole = false;
      }
      at += 4;
    }
    if (kind == kTableInterior) return is_whole;
    const auto size = page.Varint(at);
    if (!size || *size > image_.size()) return false;
    std::optional<uint64_t> rowid = 0;
    if (kind == kTableLeaf) rowid = page.Varint(at);
    if (!rowid) return false;
    const auto payload = Payload(page, at, *size, kind == kTableLeaf);
    if (!payload) return false;
    auto row = RowOf(static_cast<int64_t>(*rowid), *payload);
    if (!row) return false;
    row->page = number;
    take_(*std::move(row));
    return is_whole;
  }

  // Gives `size` bytes from `at` on, and from the pages where they go on.
  std::optional<std::string> Payload(const Bytes& page, size_t at,
                                     uint64_t size, bool is_table) {
    const uint64_t most =
        is_table ? kPageSize - 35 : (kPageSize - 12) * 64 / 255 - 23;
    const uint64_t least = (kPageSize - 12) * 32 / 255 - 23;
    uint64_t local = size;
    if (size > most) {
      local = least + (size - least) % (kPageSize - 4);
      if (local > most) local = least;
    }
    const auto piece = page.Piece(at, local);
    if (!piece) return std::nullopt;
    std::string payload(*piece);
    if (local == size) return payload;
    uint64_t next = page.Big(at + local, 4).value_or(0);
    while (payload.size() < size) {
      if (!IsPage(next)) return std::nullopt;
      const Bytes more = PageAt(static_cast<uint32_t>(next));
      const auto rest = more.Piece(
          4, std::min<uint64_t>(size - payload.size(), kPageSize - 4));
      if (!rest) return std::nullopt;
      payload += *rest;
      next = more.Big(0, 4).value_or(0);
    }
    return payload;
  }

  // A page where a row goes on begins with a page's number, whose first byte is
  // 0 in any file of less than 137 GB, and so looks like none of these.
  void ReadLost() {
    for (uint32_t number = 2; number <= num_pages_; ++number) {
      if (seen_[number]) continue;
      const uint64_t kind = PageAt(number).Big(0, 1).value_or(0);
      if (kind != kIndexInterior && kind != kTableInterior &&
          kind != kIndexLeaf && kind != kTableLeaf) {
        continue;
      }
      seen_[number] = true;
      ReadPage(number, kAlone);
    }
  }

  const std::string_view image_;
  const uint32_t num_pages_;
  std::vector<bool> seen_;  // By number; free pages, too.
  std::set<uint32_t> damaged_;
  const std::function<void(PageRow)>& take_;
};

}  // namespace

std::vector<uint32_t> ReadPages(std::string_view image,
                                const std::vector<uint32_t>& roots,
                                const std::function<void(PageRow row)>& take) {
  return Reading(image, take).Run(roots);
}

}  // namespace portreeve::server
