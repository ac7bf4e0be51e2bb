// Log: where the library's few lines of log go.
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_BASE_LOG_H_
#define PORTREEVE_LIB_BASE_LOG_H_

#include <functional>
#include <string>
#include <string_view>

namespace portreeve {

// kDebug: each thing that happens.  kInfo: what somebody has asked for.
// kWarning: what goes on, and somebody should look at.  kError: what has failed
// and nobody else is told of.
enum class LogLevel { kDebug, kInfo, kWarning, kError };

struct LogLine {
  LogLevel level = LogLevel::kInfo;
  // One line without a line feed at its end, and without the names below.
  std::string_view message;
  // What it is about; "": no listener, or no connection.
  std::string_view listener = {};
  std::string_view connection = {};
};

// Gives "MESSAGE", or "LISTENER: MESSAGE", "CONNECTION: MESSAGE" or "LISTENER
// CONNECTION: MESSAGE".
std::string TextOf(const LogLine& line);

// Writes `line` if its level is logged.  Never throws: a line for which there
// is no memory is lost.
// Threads: any.
void Log(const LogLine& line) noexcept;
void Log(LogLevel level, std::string_view message) noexcept;

// Whether lines of `level` are logged: whoever writes many asks before it makes
// one.
// Threads: any.
bool IsLogged(LogLevel level) noexcept;

// Replaces what Log() does; null restores the default, a line on stderr that
// begins with "portreeve: ", which waits for whoever reads stderr.  `sink` gets
// the lines of level `least` and above.  It is called from any thread, one call
// at a time, and must not log, nor wait: the threads of loops log.
void SetLogSink(std::function<void(const LogLine&)> sink,
                LogLevel least = LogLevel::kInfo);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_LOG_H_
