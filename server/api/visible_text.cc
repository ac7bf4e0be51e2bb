#include "server/api/visible_text.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace portreeve::server {
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

// Whether it is of printable ASCII only, as nearly every text is.  It looks at
// all characters, which is done by the dozen.
bool IsPlain(absl::string_view text) {
  bool plain = true;
  for (const char c : text) plain &= c >= 0x20 && c < 0x7f;
  return plain;
}

bool IsInvisible(uint32_t code) {
  const auto* range = std::lower_bound(
      std::begin(kInvisible), std::end(kInvisible), code,
      [](const Range& r, uint32_t value) { return r.last < value; });
  return range != std::end(kInvisible) && range->first <= code;
}

// Gives the character that `text` begins with, and how many bytes it has.
uint32_t CodeAt(absl::string_view text, size_t& length) {
  const auto lead = static_cast<uint8_t>(text[0]);
  length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  length = std::min(length, text.size());
  uint32_t code = length == 1 ? lead : lead & (0x7f >> length);
  for (size_t i = 1; i < length; ++i) code = code << 6 | (text[i] & 0x3f);
  return code;
}

void AppendEscape(std::string& out, uint32_t code) {
  if (code > 0xffff) {  // A surrogate pair.
    code -= 0x10000;
    AppendEscape(out, 0xd800 + (code >> 10));
    code = 0xdc00 + (code & 0x3ff);
  }
  absl::StrAppend(&out, "\\u", absl::Hex(code, absl::kZeroPad4));
}

}  // namespace

std::string EscapeInvisible(absl::string_view text) {
  if (IsPlain(text)) return std::string(text);
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    size_t length = 0;
    const uint32_t code = CodeAt(text, length);
    if (IsInvisible(code)) {
      AppendEscape(result, code);
    } else {
      absl::StrAppend(&result, text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  return result;
}

}  // namespace portreeve::server
