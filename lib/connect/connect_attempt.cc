#include "lib/connect/connect_attempt.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <fstream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace portreeve {
namespace {

using Endpoint = asio::generic::stream_protocol::endpoint;

int OpenSocket(int family) {
  return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

// Calls connect(2), and gives 0 or errno.
int Connect(int fd, const Endpoint& peer) {
  const int result =
      connect(fd, peer.data(), static_cast<socklen_t>(peer.size()));
  return result == 0 ? 0 : errno;
}

// Gives the path by which connect(2) reaches a file that is open, with O_PATH,
// too.
std::string NameOf(const Descriptor& file) {
  return absl::StrCat("/proc/self/fd/", file.get());
}

absl::Status NoProcError(const Unix::Address& peer) {
  ErrorDetail detail;
  detail.reason = Reason::kOther;
  detail.error_number = ENOENT;
  detail.address = ToString(peer);
  return MakeError(absl::StatusCode::kFailedPrecondition, detail,
                   absl::StrCat("connect ", detail.address,
                                ": /proc is not mounted, by which a file that "
                                "was checked is connected to"));
}

// Asio takes the descriptor only once connect(2) was called: before that, epoll
// reports a socket as writable.
absl::StatusOr<StreamSocket> ToSocket(asio::io_context& loop, Descriptor& fd,
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
    // [::]:PORT must not claim the IPv4 port.
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  }
  if (bind(fd, source.data(), static_cast<socklen_t>(source.size())) == 0) {
    return absl::OkStatus();
  }
  return ErrnoError(errno, "bind", ToString(source));
}

// Begins to connect `fd`.
absl::Status ConnectFrom(int fd, const Inet::Address& peer,
                         const std::optional<Inet::Address>& source,
                         const SocketOptions& options) {
  if (source) {
    if (absl::Status s = Bind(fd, *source); !s.ok()) return s;
  }
  ApplySocketOptions(fd, options);
  const int result = Connect(fd, peer);
  // The connect goes on in the kernel after EINTR, too.
  if (result != 0 && result != EINPROGRESS && result != EINTR) {
    return ErrnoError(result, "connect", ToString(peer));
  }
  return absl::OkStatus();
}

// Connects `fd` to `file` or, where that is not open, to `peer`.
absl::Status ConnectTo(int fd, const Unix::Address& peer,
                       const Descriptor& file) {
  const int result = file.is_open() ? Connect(fd, Unix::Address(NameOf(file)))
                                    : Connect(fd, peer);
  if (result == 0) return absl::OkStatus();
  // A file that is open has its name in /proc, even if it has none elsewhere.
  if (file.is_open() && result == ENOENT) return NoProcError(peer);
  return ErrnoError(result, "connect", ToString(peer));
}

}  // namespace

absl::Status ConnectTimeoutError(const std::string& address) {
  ErrorDetail detail;
  detail.reason = Reason::kConnectTimeout;
  detail.address = address;
  return MakeError(absl::StatusCode::kDeadlineExceeded, detail,
                   absl::StrCat("connection attempt timeout ", address));
}

absl::Status ConnectInterruptedError(const std::string& address) {
  ErrorDetail detail;
  detail.reason = Reason::kConnectInterrupted;
  detail.address = address;
  return MakeError(absl::StatusCode::kCancelled, detail,
                   absl::StrCat("connection attempt aborted ", address));
}

absl::Status NoAddressError(const std::string& address) {
  ErrorDetail detail;
  detail.reason = Reason::kDnsFailure;
  detail.address = address;
  return MakeError(absl::StatusCode::kUnavailable, detail,
                   absl::StrCat("resolve ", address, ": no address"));
}

absl::StatusOr<Descriptor> OpenAndConnect(
    const Inet::Address& peer, const std::optional<Inet::Address>& source,
    const SocketOptions& options) {
  Descriptor fd(OpenSocket(peer.protocol().family()));
  if (fd.get() < 0) return ErrnoError(errno, "socket", ToString(peer));
  if (auto s = ConnectFrom(fd.get(), peer, source, options); !s.ok()) return s;
  return fd;
}

absl::StatusOr<StreamSocket> BeginConnect(
    asio::io_context& loop, const Inet::Address& peer,
    const std::optional<Inet::Address>& source, const SocketOptions& options,
    Descriptor given) {
  if (given.is_open()) {
    auto s = ConnectFrom(given.get(), peer, source, options);
    if (!s.ok()) return s;
    return ToSocket(loop, given, peer, ToString(peer));
  }
  auto fd = OpenAndConnect(peer, source, options);
  if (!fd.ok()) return fd.status();
  return ToSocket(loop, *fd, peer, ToString(peer));
}

bool IsConnectedToItself(int fd, const Inet::Address& peer) {
  Inet::Address local;
  auto size = static_cast<socklen_t>(local.capacity());
  if (getsockname(fd, local.data(), &size) != 0) return false;
  local.resize(size);
  return local == peer;
}

bool MayConnectToItself(const Inet::Address& peer) {
  std::ifstream range("/proc/sys/net/ipv4/ip_local_port_range");  // IPv6, too.
  int first = 0;
  int last = 0;
  // Where the range is unknown, it may.
  if (!(range >> first >> last)) return true;
  return first <= peer.port() && peer.port() <= last;
}

std::optional<absl::Status> EndConnect(StreamSocket& socket,
                                       const Inet::Address& peer,
                                       int* failure) {
  pollfd state{};
  state.fd = socket.native_handle();
  state.events = POLLOUT;
  if (poll(&state, 1, 0) == 0) return std::nullopt;
  int result = 0;
  socklen_t size = sizeof(result);
  if (getsockopt(state.fd, SOL_SOCKET, SO_ERROR, &result, &size) != 0) {
    result = errno;
  }
  // These are errors of a connection that there has been; without one it would
  // be refused.
  if (result == ECONNRESET || result == EPIPE) {
    *failure = result;
    return absl::OkStatus();
  }
  if (result == 0 && IsConnectedToItself(state.fd, peer)) result = ECONNREFUSED;
  if (result == 0) return absl::OkStatus();
  return ErrnoError(result, "connect", ToString(peer));
}

absl::StatusOr<Descriptor> OpenAndConnect(
    const Unix::Address& peer, const Descriptor& file,
    const std::function<int(int fd)>& prepare) {
  Descriptor fd(OpenSocket(AF_UNIX));
  if (fd.get() < 0) return ErrnoError(errno, "socket", ToString(peer));
  if (prepare) {
    const int error = prepare(fd.get());
    if (error != 0) return ErrnoError(error, "bind", ToString(peer));
  }
  if (auto s = ConnectTo(fd.get(), peer, file); !s.ok()) return s;
  return fd;
}

bool IsBacklogFull(const absl::Status& error) {
  return DetailOf(error).error_number == EAGAIN;
}

absl::StatusOr<StreamSocket> ConnectUnix(asio::io_context& loop,
                                         const Unix::Address& peer,
                                         const Descriptor& file,
                                         Descriptor& given) {
  if (given.is_open()) {
    if (auto s = ConnectTo(given.get(), peer, file); !s.ok()) return s;
    return ToSocket(loop, given, peer, ToString(peer));
  }
  auto fd = OpenAndConnect(peer, file);
  if (!fd.ok()) return fd.status();
  return ToSocket(loop, *fd, peer, ToString(peer));
}

}  // namespace portreeve
