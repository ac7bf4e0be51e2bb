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
#include "server/daemon/log_output.h"

namespace portreeve::server {

// The log goes to stderr, the audit to a file, or to stderr, too.  Nobody waits
// for either: lines that cannot be written yet are kept, and dropped and
// counted when there are too many; the count stands in their place as soon as
// lines flow again.  One output that does not flow does not hold up the other
// one.
//
// The file of the audit is opened anew when another one is at its path.  That
// it cannot be opened anew, or not be written, is logged once, until it can be
// again; meanwhile its lines are kept.
//
// Threads: any, but for the destructor.
class LogWriter {
 public:
  // How many bytes wait at most, a half of them for the audit if it has a file.
  static constexpr size_t kMaxWaitingBytes = size_t{1} << 20;
  // How long lines that wait are tried to be written at the end.
  static constexpr std::chrono::milliseconds kFlush{200};

  // Without an output of its own the audit goes to that of the log.
  // Errors: no descriptor or no thread is left; one line.
  static absl::StatusOr<std::unique_ptr<LogWriter>> Start(
      LogOutput log, std::optional<LogOutput> audit);

  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;
  // Returns in time, whoever does not read: after kFlush what was not written
  // is lost.  A thread that hangs in a write even then is left to the end of
  // the process.
  ~LogWriter();

  // One line without a line feed at its end; "portreeved: " is put before it.
  // What of it does not show itself is escaped (server/api/visible_text.h), for
  // it may have texts of clients.
  void Log(std::string_view line);
  // One line without a line feed at its end.
  void Audit(std::string_view line);

  // Soon opens the file of the audit anew, and logs that.
  void Reopen();

 private:
  class Thread;

  explicit LogWriter(std::shared_ptr<Thread> shared);

  // Owned by the thread, too.
  const std::shared_ptr<Thread> shared_;
  std::thread thread_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_LOG_WRITER_H_
