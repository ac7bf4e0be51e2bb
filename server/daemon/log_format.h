// LogFormatter: how the lines of the log are written.
#ifndef PORTREEVE_SERVER_DAEMON_LOG_FORMAT_H_
#define PORTREEVE_SERVER_DAEMON_LOG_FORMAT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "lib/base/log.h"

namespace portreeve::server {

enum class LogFormat { kText, kJson };

// Text: "2026-11-28T06:00:00.123Z warning listeners/web: MESSAGE".
// JSON: {"time":"...","level":"warning","message":"...","listener":
// "listeners/web","connection":"connections/b17"}, without the names of what
// the line is not about.
//
// The time is that of the call, in UTC.  What of a line does not show itself is
// escaped (server/api/visible_text.h), since there may be texts of clients in
// it: so it is one line in either format.
//
// Threads: any.
class LogFormatter {
 public:
  explicit LogFormatter(LogFormat format);
  ~LogFormatter();

  std::string Format(const LogLine& line) const;
  // Says that `lines` lines are missing in its place.
  std::string DroppedLines(int64_t lines) const;
  // Says that the start has failed; as text "portreeved: REASON", as are the
  // failures that come before there is a log.
  std::string FailedStart(absl::string_view reason) const;

 private:
  class Time;

  const LogFormat format_;
  const std::unique_ptr<Time> time_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_LOG_FORMAT_H_
