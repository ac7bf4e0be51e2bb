#include "server/api/utc_text.h"

#include "absl/time/time.h"

namespace portreeve::server {

absl::string_view UtcText::Of(int64_t unix_nanos) {
  constexpr int64_t kNanosPerMilli = 1'000'000;
  constexpr int64_t kMillisPerSecond = 1000;
  // Times before 1970 count forward, too.
  const int64_t millis =
      unix_nanos / kNanosPerMilli - (unix_nanos % kNanosPerMilli < 0);
  const int64_t second =
      millis / kMillisPerSecond - (millis % kMillisPerSecond < 0);
  if (text_.empty() || second != second_) {
    second_ = second;
    text_ =
        absl::FormatTime("%Y-%m-%d%ET%H:%M:%S.000Z",
                         absl::FromUnixSeconds(second), absl::UTCTimeZone());
  }
  const int64_t milli = millis - second * kMillisPerSecond;
  char* const digits = text_.data() + text_.size() - sizeof("000Z") + 1;
  digits[0] = static_cast<char>('0' + milli / 100);
  digits[1] = static_cast<char>('0' + milli / 10 % 10);
  digits[2] = static_cast<char>('0' + milli % 10);
  return text_;
}

}  // namespace portreeve::server
