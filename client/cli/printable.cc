#include "client/cli/printable.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace portreeve::cli {
namespace {

struct Range {
  uint32_t first;
  uint32_t last;
};

// Unicode 15: the general categories Cc, Cf, Zl and Zp, and what is
// Default_Ignorable_Code_Point, such as variation selectors.  In order.
constexpr Range kInvisible[] = {
    {0x0000, 0x001f},   {0x007f, 0x009f},   {0x00ad, 0x00ad},
    {0x034f, 0x034f},   {0x0600, 0x0605},   {0x061c, 0x061c},
    {0x06dd, 0x06dd},   {0x070f, 0x070f},   {0x0890, 0x0891},
    {0x08e2, 0x08e2},   {0x115f, 0x1160},   {0x17b4, 0x17b5},
    {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e},
    {0x2060, 0x206f},   {0x3164, 0x3164},   {0xfe00, 0xfe0f},
    {0xfeff, 0xfeff},   {0xffa0, 0xffa0},   {0xfff0, 0xfffb},
    {0x110bd, 0x110bd}, {0x110cd, 0x110cd}, {0x13430, 0x1343f},
    {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
};

bool IsInvisible(uint32_t code) {
  const auto* range = std::lower_bound(
      std::begin(kInvisible), std::end(kInvisible), code,
      [](const Range& r, uint32_t value) { return r.last < value; });
  return range != std::end(kInvisible) && range->first <= code;
}

struct Character {
  size_t length;  // In bytes.
  uint32_t code;
  bool is_utf8;
};

// The character that `text` begins with; a byte that begins none is one of its
// own.
Character CharacterAt(absl::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  const Character none{1, lead, false};
  if (lead < 0x80) return {1, lead, true};
  if (lead < 0xc2 || lead > 0xf4) return none;
  const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (text.size() < length) return none;
  uint32_t code = lead & (0x7f >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((text[i] & 0xc0) != 0x80) return none;
    code = code << 6 | (text[i] & 0x3f);
  }
  const bool overlong =
      (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (overlong || surrogate || code > 0x10ffff) return none;
  return {length, code, true};
}

void AppendBytes(std::string& out, absl::string_view bytes) {
  if (bytes == "\n") {
    out += "\\n";
    return;
  }
  for (const char byte : bytes) {
    absl::StrAppend(&out, "\\x",
                    absl::Hex(static_cast<uint8_t>(byte), absl::kZeroPad2));
  }
}

void AppendCode(std::string& out, uint32_t code) {
  if (code > 0xffff) {  // A surrogate pair.
    code -= 0x10000;
    AppendCode(out, 0xd800 + (code >> 10));
    code = 0xdc00 + (code & 0x3ff);
  }
  absl::StrAppend(&out, "\\u", absl::Hex(code, absl::kZeroPad4));
}

}  // namespace

std::string Printable(const std::string& text) {
  std::string result;
  for (absl::string_view rest = text; !rest.empty();) {
    const Character c = CharacterAt(rest);
    const absl::string_view bytes = rest.substr(0, c.length);
    if (c.is_utf8 && !IsInvisible(c.code)) {
      absl::StrAppend(&result, bytes);
    } else {
      AppendBytes(result, bytes);
    }
    rest.remove_prefix(c.length);
  }
  return result;
}

std::string CutToFit(const std::string& text, size_t columns) {
  size_t size = std::min(columns, text.size());
  // Never before a byte that goes on with a character.
  while (size > 0 && size < text.size() && (text[size] & 0xc0) == 0x80) --size;
  return text.substr(0, size);
}

std::string PrintableJson(const std::string& json) {
  std::string result;
  for (absl::string_view rest = json; !rest.empty();) {
    const Character c = CharacterAt(rest);
    // Ends of lines stand between the strings.
    if (c.code >= 0x20 && c.is_utf8 && IsInvisible(c.code)) {
      AppendCode(result, c.code);
    } else {
      absl::StrAppend(&result, rest.substr(0, c.length));
    }
    rest.remove_prefix(c.length);
  }
  return result;
}

}  // namespace portreeve::cli
