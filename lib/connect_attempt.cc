#include "lib/connect_attempt.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "lib/status.h"

namespace portreeve {
namespace {

using Endpoint = asio::generic::stream_protocol::endpoint;

// A descriptor until an asio socket owns it.
class OwnedFd {
 public:
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  ~OwnedFd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

int OpenSocket(int family) {
  return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

// connect(2): 0, or errno.
int Connect(int fd, const Endpoint& peer) {
  const int result =
      connect(fd, peer.data(), static_cast<socklen_t>(peer.size()));
  return result == 0 ? 0 : errno;
}

// Asio takes the descriptor only once connect(2) was called: before that, epoll
// reports a socket as writable.
absl::StatusOr<StreamSocket> ToSocket(asio::io_context& loop, OwnedFd& fd,
                                      const Endpoint& peer,
                                      const std::string& address) {
  StreamSocket socket(loop);
  error_code ec;
  socket.assign(peer.protocol(), fd.get(), ec);
  if (ec) return ErrnoError(ec.value(), "epoll_ctl", address);
  fd.Release();
  return socket;
}

absl::Status Bind(int fd, const Inet::Address& source) {
  const int on = 1;
  (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (source.address().is_v6()) {
    // So that [::]:PORT is no claim on the IPv4 port.
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  }
  if (bind(fd, source.data(), static_cast<socklen_t>(source.size())) == 0) {
    return absl::OkStatus();
  }
  return ErrnoError(errno, "bind", ToString(source));
}

// A connect to a free port of the range from which the kernel chooses source
// ports can meet itself: TCP's simultaneous open, with one socket.
bool IsConnectedToItself(const StreamSocket& socket) {
  error_code local_error, remote_error;
  const Endpoint local = socket.local_endpoint(local_error);
  const Endpoint remote = socket.remote_endpoint(remote_error);
  return !local_error && !remote_error && local == remote;
}

}  // namespace

absl::StatusOr<StreamSocket> BeginConnect(
    asio::io_context& loop, const Inet::Address& peer,
    const std::optional<Inet::Address>& source, const SocketOptions& options) {
  const std::string address = ToString(peer);
  OwnedFd fd(OpenSocket(peer.protocol().family()));
  if (fd.get() < 0) return ErrnoError(errno, "socket", address);
  if (source) {
    if (absl::Status s = Bind(fd.get(), *source); !s.ok()) return s;
  }
  ApplySocketOptions(fd.get(), options);
  const int result = Connect(fd.get(), peer);
  // After EINTR, too, it goes on in the kernel.
  if (result != 0 && result != EINPROGRESS && result != EINTR) {
    return ErrnoError(result, "connect", address);
  }
  return ToSocket(loop, fd, peer, address);
}

std::optional<absl::Status> EndConnect(StreamSocket& socket,
                                       const Inet::Address& peer) {
  pollfd state{};
  state.fd = socket.native_handle();
  state.events = POLLOUT;
  if (poll(&state, 1, 0) == 0) return std::nullopt;
  int result = 0;
  socklen_t size = sizeof(result);
  if (getsockopt(state.fd, SOL_SOCKET, SO_ERROR, &result, &size) != 0) {
    result = errno;
  }
  if (result == 0 && IsConnectedToItself(socket)) result = ECONNREFUSED;
  if (result == 0) return absl::OkStatus();
  return ErrnoError(result, "connect", ToString(peer));
}

absl::StatusOr<StreamSocket> ConnectUnix(asio::io_context& loop,
                                         const Unix::Address& peer) {
  const std::string address = ToString(peer);
  OwnedFd fd(OpenSocket(AF_UNIX));
  if (fd.get() < 0) return ErrnoError(errno, "socket", address);
  const int result = Connect(fd.get(), peer);
  if (result != 0) return ErrnoError(result, "connect", address);
  return ToSocket(loop, fd, peer, address);
}

}  // namespace portreeve
