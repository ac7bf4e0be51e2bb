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
#include "lib/net/given_socket.h"
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

absl::Status ListenOn(int fd, const AnyAddress& address, int backlog) {
  if (listen(fd, backlog) == 0) return absl::OkStatus();
  return ErrnoError(errno, "listen", ToString(address));
}

template <typename Address>
absl::Status BindAndListen(int fd, const Address& address, int backlog) {
  if (bind(fd, address.data(), static_cast<socklen_t>(address.size())) != 0) {
    return ErrnoError(errno, "bind", ToString(address));
  }
  return ListenOn(fd, address, backlog);
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

Inet::Address AddressOf(const WhereToListen<Inet>& where) {
  return Inet::Address(where.address, static_cast<uint16_t>(where.port));
}

absl::StatusOr<Descriptor> OpenInet(const WhereToListen<Inet>& where,
                                    int backlog) {
  const Inet::Address address = AddressOf(where);
  Descriptor fd(socket(address.protocol().family(),
                       SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return LastError("socket", where);
  if (auto s = SetInetOptions(fd.get(), where); !s.ok()) return s;
  if (auto s = BindAndListen(fd.get(), address, backlog); !s.ok()) return s;
  return fd;
}

// Opens a socket that has no file.
absl::StatusOr<Descriptor> OpenAbstract(const Unix::Address& address,
                                        int backlog) {
  Descriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return ErrnoError(errno, "socket", ToString(address));
  if (auto s = BindAndListen(fd.get(), address, backlog); !s.ok()) return s;
  return fd;
}

// Gives where the kernel has it listen.
absl::StatusOr<AnyAddress> LocalAddressOf(int fd,
                                          const WhereToListen<Inet>& where) {
  asio::generic::stream_protocol::endpoint endpoint;
  auto size = static_cast<socklen_t>(endpoint.capacity());
  if (getsockname(fd, endpoint.data(), &size) != 0) {
    return LastError("getsockname", where);
  }
  endpoint.resize(size);
  return FromEndpoint(endpoint);
}

template <AddressKind A>
absl::StatusOr<Descriptor> TakeListening(Descriptor socket) {
  auto given =
      GivenSocket::Check<A>(std::move(socket), GivenSocket::Use::kListen);
  if (!given.ok()) return given.status();
  if (!given->is_listening()) {
    return InvalidField("socket", "must be listening, but is not");
  }
  return std::move(*given).Take();
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
  const auto address = LocalAddressOf(fd->get(), where);
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
  auto bound =
      UnixSocketFile::Listen(where.path, {where.mode, where.group}, backlog);
  if (!bound.ok()) return bound.status();
  return ListeningSocket(poller, std::move(bound->descriptor),
                         Unix::Address(where.path), std::move(bound->file),
                         std::min(backlog, SoMaxConn()));
}

template <>
absl::StatusOr<ListeningSocket> ListeningSocket::Adopt(
    const Executor& executor, const WhereToListen<Inet>& where, int backlog,
    Descriptor socket, bool shut_down) {
  auto given =
      GivenSocket::Check<Inet>(std::move(socket), GivenSocket::Use::kListen);
  if (!given.ok()) return given.status();
  if (auto s = ValidateBacklog(backlog); !s.ok()) return s;
  if (!where.bind_to_interface.empty()) {
    return InvalidField("bind_to_interface",
                        "must be empty for a socket that is given");
  }
  Inet::Address address;
  const bool is_bound = given->is_bound();
  if (!is_bound) {
    if (auto s = Validate(where); !s.ok()) return s;
    address = AddressOf(where);
    if (auto s = given->CheckFamilyOf(address); !s.ok()) return s;
  }
  Poller& poller = Poller::Of(LoopOf(executor));
  auto fd = std::move(*given).Take();
  if (!fd.ok()) return fd.status();
  if (auto s = is_bound ? ListenOn(fd->get(), given->address(), backlog)
                        : BindAndListen(fd->get(), address, backlog);
      !s.ok()) {
    return s;
  }
  const auto local = LocalAddressOf(fd->get(), where);
  if (!local.ok()) return local.status();
  const int effective_backlog = EffectiveBacklog(fd->get(), backlog);
  return ListeningSocket(poller, *std::move(fd), *local, std::nullopt,
                         effective_backlog, shut_down);
}

template <>
absl::StatusOr<ListeningSocket> ListeningSocket::Adopt(
    const Executor& executor, const WhereToListen<Unix>& where, int backlog,
    Descriptor socket, bool shut_down) {
  auto given =
      GivenSocket::Check<Unix>(std::move(socket), GivenSocket::Use::kListen);
  if (!given.ok()) return given.status();
  if (auto s = ValidateBacklog(backlog); !s.ok()) return s;
  const bool is_bound = given->is_bound();
  if (!is_bound) {
    if (auto s = Validate(where); !s.ok()) return s;
  }
  // This may throw, and so comes before there is a file.
  Poller& poller = Poller::Of(LoopOf(executor));
  auto fd = std::move(*given).Take();
  if (!fd.ok()) return fd.status();
  AnyAddress address = given->address();
  std::optional<UnixSocketFile> file;
  if (is_bound) {
    // Its file is somebody else's, and may be at another path by now.
    if (auto s = ListenOn(fd->get(), address, backlog); !s.ok()) return s;
  } else {
    address = Unix::Address(where.path);
    if (IsAbstract(where.path)) {
      auto s = BindAndListen(fd->get(), Unix::Address(where.path), backlog);
      if (!s.ok()) return s;
    } else {
      auto made = UnixSocketFile::ListenOn(fd->get(), where.path,
                                           {where.mode, where.group}, backlog);
      if (!made.ok()) return made.status();
      file = *std::move(made);
    }
  }
  return ListeningSocket(poller, *std::move(fd), std::move(address),
                         std::move(file), std::min(backlog, SoMaxConn()),
                         shut_down);
}

absl::StatusOr<ListeningSocket> ListeningSocket::Resume(
    const Executor& executor, const FrozenListeningSocket& frozen,
    Descriptor socket) {
  std::optional<UnixSocketFile> file;
  if (socket.is_open()) {
    auto fd = std::holds_alternative<Inet::Address>(frozen.address)
                  ? TakeListening<Inet>(std::move(socket))
                  : TakeListening<Unix>(std::move(socket));
    if (!fd.ok()) return fd.status();
    socket = *std::move(fd);
    if (frozen.file) file = UnixSocketFile::Find(*frozen.file);
  }
  ListeningSocket resumed(Poller::Of(LoopOf(executor)), std::move(socket),
                          frozen.address, std::move(file),
                          frozen.effective_backlog, frozen.shut_down);
  resumed.owned_ = false;
  return resumed;
}

ListeningSocket::ListeningSocket(Poller& poller, Descriptor descriptor,
                                 AnyAddress address,
                                 std::optional<UnixSocketFile> file,
                                 int effective_backlog, bool shut_down)
    : poller_(&poller),
      descriptor_(std::move(descriptor)),
      address_(std::move(address)),
      effective_backlog_(effective_backlog),
      file_(std::move(file)),
      shut_down_(shut_down) {}

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
  if (auto s = ListenOn(native_handle(), address_, backlog); !s.ok()) return s;
  effective_backlog_ = EffectiveBacklog(native_handle(), backlog);
  return absl::OkStatus();
}

std::optional<Backlog> ListeningSocket::ReadBacklog() const {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
      info.tcpi_state != TCP_LISTEN) {
    return std::nullopt;
  }
  // For a socket that listens these two mean something else than their names.
  return Backlog{static_cast<int>(info.tcpi_unacked),
                 static_cast<int>(info.tcpi_sacked)};
}

void ListeningSocket::LeaveToOthers() {
  shut_down_ = false;
  file_.reset();
}

void ListeningSocket::Close() {
  if (!descriptor_.is_open()) return;
  // While the descriptor is open, nobody else can have made the file theirs by
  // a probe.
  if (owned_ && file_) file_->RemoveIfOurs();
  StopWatching();
  // Where a child of fork(2) holds a copy, close(2) alone would leave a socket
  // that clients connect to and that nobody accepts from.  Who has given it may
  // hold one to accept from.
  if (owned_ && shut_down_) (void)shutdown(native_handle(), SHUT_RD);
  descriptor_ = Descriptor();
}

FrozenListeningSocket ListeningSocket::Freeze() const {
  FrozenListeningSocket frozen;
  frozen.descriptor = native_handle();
  frozen.address = address_;
  frozen.effective_backlog = effective_backlog_;
  if (is_open() && file_) frozen.file = file_->identity();
  frozen.shut_down = shut_down_;
  return frozen;
}

void ListeningSocket::Forget() {
  owned_ = false;
  Close();
}

}  // namespace portreeve
