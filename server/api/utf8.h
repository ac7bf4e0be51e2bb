// Text for protobuf's `string` fields, which take UTF-8 only.
#ifndef PORTREEVE_SERVER_API_UTF8_H_
#define PORTREEVE_SERVER_API_UTF8_H_

#include <string>

#include "absl/strings/string_view.h"

namespace portreeve::server {

// Gives `text` with every byte that is not part of well-formed UTF-8 as "\xHH".
std::string EscapeNonUtf8(absl::string_view text);

// The most bytes of a text that is told of an error, since gRPC clients take no
// more than 8 KiB of trailers.
inline constexpr size_t kMaxErrorTextBytes = 512;
// Gives `text` as EscapeNonUtf8() does, of which as many characters as fit into
// kMaxErrorTextBytes.
std::string ErrorText(absl::string_view text);

// Gives the first characters of well-formed `text` that fit into `max_bytes`.
absl::string_view ClipUtf8(absl::string_view text, size_t max_bytes);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_UTF8_H_
