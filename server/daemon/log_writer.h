// LogWriter: the one thread that writes the log, the audit and the access log.
#ifndef PORTREEVE_SERVER_DAEMON_LOG_WRITER_H_
#define PORTREEVE_SERVER_DAEMON_LOG_WRITER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"
#include "lib/base/log.h"
#include "server/daemon/log_format.h"
#include "server/daemon/log_output.h"

namespace portreeve::server {

// The log goes to stderr, the audit to a file, or to stderr, too, and the
// access log to another file, to stderr, or nowhere.  Nobody waits for any of
// them: lines that cannot be written yet are kept; when there are too many,
// further ones are dropped and counted, and the count stands in their place as
// soon as lines flow again.  An output that does not flow does not hold up the
// others.
//
// A file is opened anew when another one is at its path.  Where it cannot be
// opened anew, or not be written, that is logged: of the audit once, until it
// can be again, of the access log once a minute.  Meanwhile its lines are kept,
// and writing them is tried with each that comes, and every kTryAgain.
//
// Threads: any, but for the destructor.
class LogWriter {
 public:
  // The most bytes that wait, a half of them for the audit if it has a file.
  static constexpr size_t kMaxWaitingBytes = size_t{1} << 20;
  // The most bytes of the access log that wait.
  static constexpr size_t kMaxWaitingAccessBytes = size_t{1} << 20;
  // How long a file that could not be written is left in peace.
  static constexpr std::chrono::seconds kTryAgain{1};
  // How long nothing more is said of an access log that cannot be written.
  static constexpr std::chrono::minutes kSayAgain{1};
  // How long the destructor tries to write the lines that wait.
  static constexpr std::chrono::milliseconds kFlush{200};

  struct Outputs {
    LogOutput log;
    // Without one the audit goes to that of the log.
    std::optional<LogOutput> audit;
    // Without one Access() must not be called.
    std::optional<LogOutput> access;
  };

  // Lines of the access log since the daemon's start.
  struct AccessCounts {
    int64_t lines = 0;  // Those that got in, written or about to be.
    int64_t dropped = 0;
  };

  // Errors: no descriptor or no thread is left; one line.
  static absl::StatusOr<std::unique_ptr<LogWriter>> Start(Outputs outputs,
                                                          LogFormat format);

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
  // Adds one line, which has no line feed at its end, to the access log;
  // nullopt is one for which there was no memory, and is counted as dropped.
  void Access(std::optional<std::string_view> line);

  AccessCounts access_counts() const;
  // Adds those of the daemon's last process.
  void AddAccessCounts(const AccessCounts& counts);

  // Writes the lines that wait, within kFlush, and none that comes later: for
  // the end of the process, where the destructor is not called.
  void End();

  // Has the files of the audit and of the access log opened anew soon, which is
  // logged.
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
