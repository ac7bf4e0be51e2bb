#include "lib/serve/unix_socket_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "lib/net/address.h"

namespace portreeve {
namespace {

std::string NameOf(const std::string& path) { return "unix:" + path; }

Descriptor NewSocket() {
  return Descriptor(
      socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

absl::Status InUse(const std::string& path) {
  return ErrnoError(EADDRINUSE, "bind", NameOf(path));
}

// Gives `path` so that it leads to the file from any working directory; as it
// is where nobody knows the present one.
std::string Absolute(const std::string& path) {
  if (path.front() == '/') return path;
  // Allocated by getcwd(3), for it may be longer than any path of a socket.
  const std::unique_ptr<char, decltype(&std::free)> directory(
      getcwd(nullptr, 0), &std::free);
  return directory == nullptr ? path : directory.get() + ("/" + path);
}

// How often a lock that another process holds is tried, a millisecond apart.
constexpr int kLockTries = 50;

// A lock on the directory of `path`: shared while a socket is made, from
// bind(2) to listen(2), exclusive while a dead server's file is taken away.  So
// no probe takes a socket that is about to listen for a dead one.
absl::StatusOr<Descriptor> LockDirectoryOf(const std::string& path,
                                           int operation) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "."
                                : slash == 0               ? "/"
                                             : path.substr(0, slash);
  Descriptor fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.is_open()) return ErrnoError(errno, "open", NameOf(path));
  for (int i = 0; flock(fd.get(), operation | LOCK_NB) != 0; ++i) {
    if (errno != EWOULDBLOCK || i == kLockTries) return InUse(path);
    (void)poll(nullptr, 0, 1);
  }
  return fd;
}

// Gives an error if somebody listens at `path`, or if that is no socket.
absl::Status Probe(const std::string& path) {
  struct stat status;
  if (lstat(path.c_str(), &status) != 0) {
    return errno == ENOENT ? absl::OkStatus()
                           : ErrnoError(errno, "stat", NameOf(path));
  }
  if (!S_ISSOCK(status.st_mode)) {
    return ErrnoError(ENOTSOCK, "bind", NameOf(path));
  }
  const Descriptor probe = NewSocket();
  if (!probe.is_open()) return ErrnoError(errno, "socket", NameOf(path));
  const Unix::Address address(path);
  if (connect(probe.get(), address.data(),
              static_cast<socklen_t>(address.size())) == 0) {
    return InUse(path);
  }
  // A full backlog (EAGAIN), or a file that we may not connect to (EACCES), is
  // somebody's; only a refusal says that nobody is there.
  return errno == ECONNREFUSED ? absl::OkStatus() : InUse(path);
}

absl::Status RemoveDead(const std::string& path) {
  auto lock = LockDirectoryOf(path, LOCK_EX);
  if (!lock.ok()) return lock.status();
  if (auto s = Probe(path); !s.ok()) return s;
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoError(errno, "unlink", NameOf(path));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UnixSocketFile> UnixSocketFile::BindAndListen(
    int fd, const std::string& path, const Rights& rights, int backlog) {
  // Where the directory cannot be read there is no lock, and nobody else of
  // ours can have one there.
  const auto lock = LockDirectoryOf(path, LOCK_SH);
  // Linux makes the file with the mode of the socket, less the umask.  Nothing
  // is for a group before the file has the right one.
  (void)fchmod(fd,
               static_cast<mode_t>(rights.mode) & (rights.group ? 0700 : 0777));
  const Unix::Address address(path);
  if (bind(fd, address.data(), static_cast<socklen_t>(address.size())) != 0) {
    return ErrnoError(errno, "bind", NameOf(path));
  }
  struct stat made;
  if (lstat(path.c_str(), &made) != 0) {
    return ErrnoError(errno, "stat", NameOf(path));
  }
  const UnixSocketFile file({Absolute(path), made.st_dev, made.st_ino});
  absl::Status error;
  if (rights.group ||
      (made.st_mode & 07777) != static_cast<mode_t>(rights.mode)) {
    error = file.Give(rights);
  }
  if (error.ok() && listen(fd, backlog) != 0) {
    error = ErrnoError(errno, "listen", NameOf(path));
  }
  if (error.ok()) return file;
  file.RemoveIfOurs();
  return error;
}

absl::StatusOr<UnixSocketFile::Bound> UnixSocketFile::Listen(
    const std::string& path, const Rights& rights, int backlog) {
  Descriptor fd = NewSocket();
  if (!fd.is_open()) return ErrnoError(errno, "socket", NameOf(path));
  auto file = ListenOn(fd.get(), path, rights, backlog);
  if (!file.ok()) return file.status();
  return Bound{std::move(fd), *std::move(file)};
}

absl::StatusOr<UnixSocketFile> UnixSocketFile::ListenOn(int fd,
                                                        const std::string& path,
                                                        const Rights& rights,
                                                        int backlog) {
  auto file = BindAndListen(fd, path, rights, backlog);
  if (DetailOf(file.status()).reason == Reason::kAddressInUse) {
    if (auto s = RemoveDead(path); !s.ok()) return s;
    file = BindAndListen(fd, path, rights, backlog);
  }
  return file;
}

std::optional<UnixSocketFile> UnixSocketFile::Find(const Identity& identity) {
  UnixSocketFile file(identity);
  if (!file.IsThere()) return std::nullopt;
  return file;
}

bool UnixSocketFile::IsThis(const struct stat& file) const {
  return S_ISSOCK(file.st_mode) && file.st_dev == identity_.device &&
         file.st_ino == identity_.inode;
}

bool UnixSocketFile::IsThere() const {
  struct stat status;
  return lstat(path().c_str(), &status) == 0 && IsThis(status);
}

// Nobody can connect meanwhile.
absl::Status UnixSocketFile::Give(const Rights& rights) const {
  // What is changed is the file that was made, and not what somebody has put in
  // its place, such as a link.
  const Descriptor file(open(path().c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!file.is_open()) return ErrnoError(errno, "open", NameOf(path()));
  struct stat status;
  if (fstat(file.get(), &status) != 0 || !IsThis(status)) {
    return ErrnoError(ENOENT, "open", NameOf(path()));
  }
  if (rights.group && fchownat(file.get(), "", static_cast<uid_t>(-1),
                               *rights.group, AT_EMPTY_PATH) != 0) {
    const int error_number = errno;
    return ErrnoError(error_number,
                      absl::StrCat("chown to group ", *rights.group),
                      NameOf(path()));
  }
  const auto mode = static_cast<mode_t>(rights.mode);
  const std::string link = absl::StrCat("/proc/self/fd/", file.get());
  int result = chmod(link.c_str(), mode);
  // /proc is not mounted.
  if (result != 0 && (errno == ENOENT || errno == ENOTDIR)) {
    result = chmod(path().c_str(), mode);
  }
  if (result != 0) return ErrnoError(errno, "chmod", NameOf(path()));
  return absl::OkStatus();
}

void UnixSocketFile::RemoveIfOurs() const {
  if (IsThere()) unlink(path().c_str());
}

}  // namespace portreeve
