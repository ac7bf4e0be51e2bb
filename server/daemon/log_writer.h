// LogWriter: the one thread that writes the log and the audit.
#ifndef PORTREEVE_SERVER_DAEMON_LOG_WRITER_H_
#define PORTREEVE_SERVER_DAEMON_LOG_WRITER_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"
#include "lib/base/log.h"
#include "server/daemon/log_format.h"
#include "server/daemon/log_output.h"

namespace portreeve::server {

// The log goes to stderr, the audit to a file, or to stderr, too.  Nobody waits
// for either: lines that cannot be written yet are kept; when there are too
// many, further ones are dropped and counted, and the count stands in their
// place as soon as lines flow again.  An output that does not flow does not
// hold up the other one.
//
// The file of the audit is opened anew when another one is at its path.  Where
// it cannot be opened anew, or not be written, that is logged once, until it
// can be again; meanwhile its lines are kept.
//
// Threads: any, but for the destructor.
class LogWriter {
 public:
  // The most bytes that wait, a half of them for the audit if it has a file.
  static constexpr size_t kMaxWaitingBytes = size_t{1} << 20;
  // How long the destructor tries to write the lines that wait.
  static constexpr std::chrono::milliseconds kFlush{200};

  // Without an output of its own the audit goes to that of the log.
  // Errors: no descriptor or no thread is left; one line.
  static absl::StatusOr<std::unique_ptr<LogWriter>> Start(
      LogOutput log, std::optional<LogOutput> audit, LogFormat format);

  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;
  // Returns in time even where nobody reads: after kFlush what was not written
  // is lost.  A thread that hangs in a write even then is left to the end of
  // the process.
  ~LogWriter();

  // Adds one line to the log, as LogFormatter writes it.
  void Log(const LogLine& line);
  // Adds the line of a start that has failed.
  void LogFailedStart(std::string_view reason);
  // Adds one line, which has no line feed at its end, to the audit.
  void Audit(std::string_view line);

  // Has the file of the audit opened anew soon, which is logged.
  void Reopen();

 private:
  class Thread;

  explicit LogWriter(std::shared_ptr<Thread> shared);

  // The thread owns it, too.
  const std::shared_ptr<Thread> shared_;
  std::thread thread_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_LOG_WRITER_H_
