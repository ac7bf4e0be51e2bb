// LogOutput: a file, or the daemon's stderr, that lines are written to without
// waiting for whoever reads them.
#ifndef PORTREEVE_SERVER_DAEMON_LOG_OUTPUT_H_
#define PORTREEVE_SERVER_DAEMON_LOG_OUTPUT_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"

namespace portreeve::server {

// Threads: any, one at a time.
class LogOutput {
 public:
  // What became of a write.  Where both are 0, it would have had to wait.
  struct Result {
    size_t size = 0;
    int error_number = 0;
  };
  enum class Opened { kNotAnew, kSameFile, kOtherFile };

  // Writes to `fd`, which stays its owner's, and as it is: other processes may
  // share it, so it is not made non-blocking.  A pipe or a terminal is opened
  // once more for that where the system allows it; where it does not, Write()
  // waits if another process fills the pipe between the question and the
  // answer, or the terminal is stopped in the middle of a piece.
  static LogOutput Inherited(int fd);

  // Appends to a file; one that is new has mode 0600.  A FIFO must have a
  // reader.
  // Errors: those of open(2), one line.
  static absl::StatusOr<LogOutput> ToFile(const std::string& path);

  // Gives the descriptor to wait for until it is writable, after a write that
  // would have had to wait.
  int fd() const { return own_.is_open() ? own_.get() : fd_; }

  // How many bytes a write should have at most.
  size_t most() const { return most_; }

  Result Write(std::string_view piece) const;

  // Opens the file anew if another one, or none, is at its path now, or if
  // `always`.
  // Errors: those of open(2); the old file stays then.
  absl::StatusOr<Opened> Refresh(bool always);

  // Whether both append to the same file or FIFO; an inherited descriptor is
  // neither.
  bool IsSameFile(const LogOutput& other) const;

  // Gives "" for an inherited descriptor.
  const std::string& path() const { return path_; }

 private:
  enum class Kind { kFile, kSocket, kNonBlocking, kBlocking };

  LogOutput() = default;
  void SetKind(Kind kind);

  int fd_ = -1;
  Descriptor own_;
  std::string path_;
  Kind kind_ = Kind::kBlocking;
  size_t most_ = 0;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_LOG_OUTPUT_H_
