#include "tests/model/content.h"

#include <algorithm>
#include <random>
#include <string>

namespace portreeve::model {
namespace {

// A prime, so that no size of a buffer or of a frame divides it.
constexpr uint64_t kPeriod = 1'000'003;

std::string MakeTable() {
  std::string table(kPeriod, '\0');
  std::mt19937 random(1);
  for (char& byte : table) byte = static_cast<char>(random());
  table.append(table, 0, Content::kMost);
  return table;
}

}  // namespace

Content::Content(uint64_t key) : shift_(key * 0x9E3779B97F4A7C15 % kPeriod) {}

std::string_view Content::At(int64_t position, size_t size) const {
  static const std::string* const kTable = new std::string(MakeTable());
  const uint64_t begin = (static_cast<uint64_t>(position) + shift_) % kPeriod;
  return std::string_view(*kTable).substr(begin, std::min(size, kMost));
}

std::optional<int64_t> Content::FirstDifference(int64_t position,
                                                std::string_view data) const {
  while (!data.empty()) {
    const std::string_view right = At(position, data.size());
    if (data.substr(0, right.size()) != right) {
      const auto at = std::mismatch(right.begin(), right.end(), data.begin());
      return position + (at.first - right.begin());
    }
    position += static_cast<int64_t>(right.size());
    data.remove_prefix(right.size());
  }
  return std::nullopt;
}

}  // namespace portreeve::model
