#include "server/daemon/log_output.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/socket_calls.h"
#include "lib/base/status.h"

namespace portreeve::server {
namespace {

constexpr size_t kMostToAFile = 64 * 1024;

bool IsTerminal(int fd) {
  // Opening the master of a terminal would make a new terminal.
  unsigned number = 0;
  return isatty(fd) == 1 && ioctl(fd, TIOCGPTN, &number) != 0;
}

// Gives a description of its own of the same pipe or terminal; it is not open
// where the system refuses that.
Descriptor OpenOnceMore(int fd) {
  return Descriptor(open(absl::StrCat("/proc/self/fd/", fd).c_str(),
                         O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

bool IsWritable(int fd) {
  pollfd wanted{fd, POLLOUT, 0};
  return poll(&wanted, 1, 0) == 1;
}

// O_NONBLOCK is for FIFOs, and means nothing to files.
Descriptor OpenToAppend(const std::string& path) {
  return Descriptor(open(
      path.c_str(),
      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600));
}

bool IsOneFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

}  // namespace

void LogOutput::SetKind(Kind kind) {
  kind_ = kind;
  // A pipe takes PIPE_BUF bytes at once, or none.
  most_ = kind == Kind::kFile ? kMostToAFile : size_t{PIPE_BUF};
}

LogOutput LogOutput::Inherited(int fd) {
  LogOutput output;
  output.fd_ = fd;
  struct stat status {};
  if (fstat(fd, &status) == 0) {
    if (S_ISREG(status.st_mode)) {
      output.SetKind(Kind::kFile);
      return output;
    }
    if (S_ISSOCK(status.st_mode)) {
      output.SetKind(Kind::kSocket);
      return output;
    }
    if (S_ISFIFO(status.st_mode) || IsTerminal(fd)) {
      output.own_ = OpenOnceMore(fd);
    }
  }
  output.SetKind(output.own_.is_open() ? Kind::kNonBlocking : Kind::kBlocking);
  return output;
}

absl::StatusOr<LogOutput> LogOutput::ToFile(const std::string& path) {
  LogOutput output;
  output.path_ = path;
  const auto opened = output.Refresh(true);
  if (!opened.ok()) return opened.status();
  return output;
}

LogOutput::Result LogOutput::Write(std::string_view piece) const {
  if (kind_ == Kind::kBlocking && !IsWritable(fd())) return {};
  ssize_t size;
  do {
    size = kind_ == Kind::kSocket ? send(fd(), piece.data(), piece.size(),
                                         MSG_DONTWAIT | MSG_NOSIGNAL)
                                  : write(fd(), piece.data(), piece.size());
  } while (size < 0 && errno == EINTR);
  if (size > 0) return {static_cast<size_t>(size), 0};
  // This is a device that takes nothing, and would do so for ever.
  if (size == 0) return {0, EIO};
  return WouldBlock(errno) ? Result{} : Result{0, errno};
}

bool LogOutput::IsSameFile(const LogOutput& other) const {
  struct stat own {};
  struct stat others {};
  return !path_.empty() && !other.path_.empty() && fstat(fd(), &own) == 0 &&
         fstat(other.fd(), &others) == 0 && !S_ISCHR(own.st_mode) &&
         IsOneFile(own, others);
}

absl::StatusOr<LogOutput::Opened> LogOutput::Refresh(bool always) {
  if (path_.empty()) return Opened::kNotAnew;
  struct stat held {};
  struct stat there {};
  const bool is_same = own_.is_open() && fstat(own_.get(), &held) == 0 &&
                       stat(path_.c_str(), &there) == 0 &&
                       IsOneFile(held, there);
  if (is_same && !always) return Opened::kNotAnew;
  Descriptor file = OpenToAppend(path_);
  if (!file.is_open() || fstat(file.get(), &there) != 0) {
    return ErrnoError(errno, "open", path_);
  }
  const bool same_file = own_.is_open() && IsOneFile(held, there);
  own_ = std::move(file);
  SetKind(S_ISREG(there.st_mode) ? Kind::kFile : Kind::kNonBlocking);
  return same_file ? Opened::kSameFile : Opened::kOtherFile;
}

}  // namespace portreeve::server
