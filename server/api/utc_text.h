// UtcText: times of the calendar as logs have them.
#ifndef PORTREEVE_SERVER_API_UTC_TEXT_H_
#define PORTREEVE_SERVER_API_UTC_TEXT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace portreeve::server {

// Writes times by RFC 3339, in UTC, to the millisecond:
// "2026-11-26T19:43:07.699Z".  It asks the calendar once for each second in a
// row of times.
// Threads: one at a time.
class UtcText {
 public:
  // The text is valid until the next call.
  absl::string_view Of(int64_t unix_nanos);

 private:
  int64_t second_ = 0;
  std::string text_;  // "" before the first call.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_UTC_TEXT_H_
