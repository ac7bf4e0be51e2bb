#include "lib/serve/listening_socket.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/descriptor.h"
#include "lib/base/status.h"
#include "lib/serve/unix_socket_file.h"

namespace portreeve {
namespace {

// How often the OS is asked for a port, since another socket may take the one
// that it chose before listen(2).
constexpr int kTriesOfChosenPort = 10;

// Epoll reports a client by these, or that the socket was shut down.
constexpr uint32_t kEvents = EPOLLIN | EPOLLRDHUP;

// Gives what the kernel cuts every backlog to (Linux's default where /proc is
// not there).
int SoMaxConn() {
  std::ifstream file("/proc/sys/net/core/somaxconn");
  int value = 0;
  return file >> value && value > 0 ? value : 4096;
}

// Gives what the kernel has made of `backlog`.
int EffectiveBacklog(int fd, int backlog) {
  // For TCP the kernel tells that; the file would be opened and parsed for each
  // listener.
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
      info.tcpi_state == TCP_LISTEN) {
    return static_cast<int>(info.tcpi_sacked);
  }
  return std::min(backlog, SoMaxConn());
}

// Gives the error, by errno, of a call that was about `where`.
absl::Status LastError(const char* call, const WhereToListen<Inet>& where) {
  const int error_number = errno;
  return ErrnoError(error_number, call, ToString(where));
}

absl::Status SetOption(int fd, int level, int name, int value,
                       const WhereToListen<Inet>& where) {
  if (setsockopt(fd, level, name, &value, sizeof(value)) == 0) {
    return absl::OkStatus();
  }
  return LastError("setsockopt", where);
}

absl::Status SetInetOptions(int fd, const WhereToListen<Inet>& where) {
  if (auto s =
          SetOption(fd, SOL_SOCKET, SO_REUSEADDR, where.reuse_address, where);
      !s.ok()) {
    return s;
  }
  if (where.reuse_port) {
    if (auto s = SetOption(fd, SOL_SOCKET, SO_REUSEPORT, 1, where); !s.ok()) {
      return s;
    }
  }
  if (where.address.is_v6()) {
    if (auto s =
            SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, where.ipv6_only, where);
        !s.ok()) {
      return s;
    }
  }
  const std::string& interface = where.bind_to_interface;
  if (!interface.empty() &&
      setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface.data(),
                 static_cast<socklen_t>(interface.size())) != 0) {
    if (errno == ENODEV) {
      return InvalidField("bind_to_interface",
                          absl::StrCat("no interface ", interface));
    }
    return LastError("bind to interface", where);
  }
  return absl::OkStatus();
}

absl::StatusOr<Descriptor> OpenInet(const WhereToListen<Inet>& where,
                                    int backlog) {
  const Inet::Address address(where.address, static_cast<uint16_t>(where.port));
  Descriptor fd(socket(address.protocol().family(),
                       SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return LastError("socket", where);
  if (auto s = SetInetOptions(fd.get(), where); !s.ok()) return s;
  if (bind(fd.get(), address.data(), static_cast<socklen_t>(address.size())) !=
      0) {
    return LastError("bind", where);
  }
  if (listen(fd.get(), backlog) != 0) return LastError("listen", where);
  return fd;
}

// Opens a socket that has no file.
absl::StatusOr<Descriptor> OpenAbstract(const Unix::Address& address,
                                        int backlog) {
  Descriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return ErrnoError(errno, "socket", ToString(address));
  if (bind(fd.get(), address.data(), static_cast<socklen_t>(address.size())) !=
      0) {
    return ErrnoError(errno, "bind", ToString(address));
  }
  if (listen(fd.get(), backlog) != 0) {
    return ErrnoError(errno, "listen", ToString(address));
  }
  return fd;
}

absl::StatusOr<AnyAddress> AddressOf(int fd, const WhereToListen<Inet>& where) {
  asio::generic::stream_protocol::endpoint endpoint;
  auto size = static_cast<socklen_t>(endpoint.capacity());
  if (getsockname(fd, endpoint.data(), &size) != 0) {
    return LastError("getsockname", where);
  }
  endpoint.resize(size);
  return FromEndpoint(endpoint);
}

absl::Status ValidateBacklog(int backlog) {
  if (backlog >= 0) return absl::OkStatus();
  return InvalidField("max_pending_connections",
                      absl::StrCat("must be at least 0, but is ", backlog));
}

}  // namespace

template <>
absl::StatusOr<ListeningSocket> ListeningSocket::Open(
    const Executor& executor, const WhereToListen<Inet>& where, int backlog) {
  if (auto s = Validate(where); !s.ok()) return s;
  if (auto s = ValidateBacklog(backlog); !s.ok()) return s;
  Poller& poller = Poller::Of(LoopOf(executor));
  absl::StatusOr<Descriptor> fd = OpenInet(where, backlog);
  for (int tries = 1; !fd.ok() && where.port == 0 &&
                      DetailOf(fd.status()).reason == Reason::kAddressInUse &&
                      tries < kTriesOfChosenPort;
       ++tries) {
    fd = OpenInet(where, backlog);
  }
  if (!fd.ok()) return fd.status();
  const auto address = AddressOf(fd->get(), where);
  if (!address.ok()) return address.status();
  const int effective_backlog = EffectiveBacklog(fd->get(), backlog);
  return ListeningSocket(poller, *std::move(fd), *address, std::nullopt,
                         effective_backlog);
}

template <>
absl::StatusOr<ListeningSocket> ListeningSocket::Open(
    const Executor& executor, const WhereToListen<Unix>& where, int backlog) {
  if (auto s = Validate(where); !s.ok()) return s;
  if (auto s = ValidateBacklog(backlog); !s.ok()) return s;
  // This may throw, and so comes before there is a file.
  Poller& poller = Poller::Of(LoopOf(executor));
  if (IsAbstract(where.path)) {
    const Unix::Address address(where.path);
    auto fd = OpenAbstract(address, backlog);
    if (!fd.ok()) return fd.status();
    return ListeningSocket(poller, *std::move(fd), address, std::nullopt,
                           std::min(backlog, SoMaxConn()));
  }
  auto bound = UnixSocketFile::Listen(where.path, where.mode, backlog);
  if (!bound.ok()) return bound.status();
  return ListeningSocket(poller, std::move(bound->descriptor),
                         Unix::Address(where.path), std::move(bound->file),
                         std::min(backlog, SoMaxConn()));
}

ListeningSocket::ListeningSocket(Poller& poller, Descriptor descriptor,
                                 AnyAddress address,
                                 std::optional<UnixSocketFile> file,
                                 int effective_backlog)
    : poller_(&poller),
      descriptor_(std::move(descriptor)),
      address_(std::move(address)),
      effective_backlog_(effective_backlog),
      file_(std::move(file)) {}

ListeningSocket::~ListeningSocket() { Close(); }

int ListeningSocket::SetWatched(Poller::Watch& watch, bool watched) {
  if (watched == watched_) return 0;
  if (watch_ == nullptr) {
    const int error = poller_->Add(native_handle(), kEvents, watch);
    if (error != 0) return error;
    watch_ = &watch;
  } else {
    const int error =
        poller_->Change(native_handle(), watched ? kEvents : 0, watch);
    if (error != 0) return error;
  }
  watched_ = watched;
  return 0;
}

void ListeningSocket::StopWatching() {
  if (watch_ == nullptr) return;
  poller_->RemoveNow(native_handle(), *std::exchange(watch_, nullptr));
  watched_ = false;
}

std::optional<ListeningSocket::Accepted> ListeningSocket::Accept(
    int* error_number) {
  asio::generic::stream_protocol::endpoint peer;
  auto size = static_cast<socklen_t>(peer.capacity());
  Descriptor fd(accept4(native_handle(), peer.data(), &size,
                        SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.is_open()) {
    *error_number = errno;
    return std::nullopt;
  }
  peer.resize(size);
  const AnyAddress address = FromEndpoint(peer);
  return Accepted{std::move(fd), address};
}

absl::Status ListeningSocket::Listen(int backlog) {
  if (auto s = ValidateBacklog(backlog); !s.ok()) return s;
  if (listen(native_handle(), backlog) != 0) {
    return ErrnoError(errno, "listen", ToString(address_));
  }
  effective_backlog_ = EffectiveBacklog(native_handle(), backlog);
  return absl::OkStatus();
}

void ListeningSocket::Close() {
  if (!descriptor_.is_open()) return;
  // While the descriptor is open, nobody else can have made the file theirs by
  // a probe.
  if (file_) file_->RemoveIfOurs();
  StopWatching();
  // Where a child of fork(2) holds a copy, close(2) alone would leave a socket
  // that clients connect to and that nobody accepts from.
  (void)shutdown(native_handle(), SHUT_RD);
  descriptor_ = Descriptor();
}

}  // namespace portreeve
