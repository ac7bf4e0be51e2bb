#include "server/api/utf8.h"

#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace portreeve::server {
namespace {

// Nearly every text is.  It looks at all of them, which is done by the dozen.
bool IsAscii(absl::string_view text) {
  char bits = 0;
  for (const char c : text) bits = static_cast<char>(bits | c);
  return (bits & 0x80) == 0;
}

bool IsContinuation(char c) { return (c & 0xc0) == 0x80; }

// Gives how long the character is that begins with `lead`; 0 if none does.
size_t LengthOf(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 0;
}

// Gives how many bytes the character has that `text` begins with; 0 if that is
// malformed (Unicode, table 3-7).
size_t CharacterAt(absl::string_view text) {
  const uint8_t lead = text[0];
  const size_t length = LengthOf(lead);
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if (!IsContinuation(text[i])) return 0;
  }
  if (length < 3) return length;
  const uint8_t second = text[1];
  const bool malformed = (lead == 0xe0 && second < 0xa0) ||  // Overlong.
                         (lead == 0xed && second > 0x9f) ||  // Surrogates.
                         (lead == 0xf0 && second < 0x90) ||  // Overlong.
                         (lead == 0xf4 && second > 0x8f);    // > U+10FFFF.
  return malformed ? 0 : length;
}

}  // namespace

std::string EscapeNonUtf8(absl::string_view text) {
  if (IsAscii(text)) return std::string(text);
  std::string result;
  size_t at = 0;  // All of `text` before this is UTF-8.
  while (at < text.size()) {
    const size_t length = CharacterAt(text.substr(at));
    at += length;
    if (length > 0) continue;
    absl::StrAppend(&result, text.substr(0, at), "\\x",
                    absl::BytesToHexString(text.substr(at, 1)));
    text.remove_prefix(at + 1);
    at = 0;
  }
  absl::StrAppend(&result, text);
  return result;
}

absl::string_view ClipUtf8(absl::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  size_t length = max_bytes;
  while (length > 0 && IsContinuation(text[length])) --length;
  return text.substr(0, length);
}

std::string ErrorText(absl::string_view text) {
  // Every byte may become four.
  return std::string(ClipUtf8(EscapeNonUtf8(text), kMaxErrorTextBytes));
}

}  // namespace portreeve::server
