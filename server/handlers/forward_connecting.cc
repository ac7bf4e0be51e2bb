// ForwardConnection: how it comes to its upstream.
#include <sys/epoll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <string>
#include <utility>
#include <variant>

#include "lib/base/guarded.h"
#include "lib/base/status.h"
#include "lib/connect/connect_attempt.h"
#include "lib/net/close_socket.h"
#include "lib/net/socket_file.h"
#include "server/handlers/forward_connection.h"

namespace portreeve::server {

void ForwardConnection::Begin() {
  const ForwardOptions& options = route_->options;
  if (HasComeBack()) return OnLedBack(local());
  connect_by_ = After(lane().time().Now(), options.connect_timeout);
  if (!route_->literal) return Connect();
  // A client that has reset before it was accepted, as those of a flood have,
  // costs no connection to the upstream, since epoll reports the reset first.
  lane().poller().CallAfterRound(*this, kClient);
}

void ForwardConnection::Connect() {
  if (route_->literal) return ConnectTo(*route_->literal);
  const auto* const file =
      std::get_if<WhereToConnect<Unix>>(&route_->options.upstream);
  if (file != nullptr) return ConnectTo(Unix::Address(file->path));
  const Executor executor(lane().loop().get_executor());
  interrupt_ = std::make_unique<const Ivar<>>(executor);
  lane().tasks().Spawn(ConnectByName(Self(), route_, interrupt_->deferred()));
}

bool ForwardConnection::HasComeBack() {
  ForwardLoops* const loops = route_->options.loops;
  if (loops == nullptr || !loops->has_connections()) return false;
  auto before = loops->PassedBy(peer(), local());
  if (before == nullptr) return false;
  trail_ = std::make_unique<ForwardTrail>(*loops, route_->options.listener,
                                          std::move(before));
  return trail_->is_loop();
}

ForwardTrail& ForwardConnection::Trail() {
  if (trail_ == nullptr) {
    const ForwardOptions& options = route_->options;
    trail_ = std::make_unique<ForwardTrail>(*options.loops, options.listener,
                                            nullptr);
  }
  return *trail_;
}

bool ForwardConnection::MayBeListener(int port) const {
  const ForwardLoops* const loops = route_->options.loops;
  return loops != nullptr && loops->HasPort(static_cast<uint16_t>(port));
}

void ForwardConnection::ConnectTo(const Inet::Address& peer) {
  const ForwardOptions& options = route_->options;
  if (options.admit) {
    const absl::Status admitted = options.admit(peer);
    if (!admitted.ok()) {
      return OnUnreached([&] { return Unreached{admitted, nullptr}; });
    }
  }
  absl::StatusOr<Descriptor> connecting;
  const auto connect = [&] {
    SocketOptions later;  // The Pump and OnDelayOver() set them.
    later.no_delay = false;
    later.keepalive = false;
    connecting = OpenAndConnect(peer, std::nullopt, later);
    return connecting.ok() ? connecting->get() : -1;
  };
  if (MayBeListener(peer.port())) {
    if (Trail().LeadsBack(peer, lane().time().Now())) {
      return OnLedBack(peer);
    }
    Trail().Connect(peer, connect);
  } else {
    connect();
  }
  if (!connecting.ok()) {
    return OnUnreached([&] {
      return Unreached{connecting.status(), route_->literal_name};
    });
  }
  upstream_ = *std::move(connecting);
  if (!WatchUpstream(route_->literal_name)) return;
  // Almost all are connected before OnDelayOver(), and need no timer of their
  // own.
  if (options.connect_timeout <= std::chrono::seconds(1)) RingAt(connect_by_);
  lane().young().Join(*this);
}

absl::StatusOr<Descriptor> ForwardConnection::Open(
    const Unix::Address& peer) const {
  const ForwardOptions& options = route_->options;
  absl::StatusOr<Descriptor> file =
      options.open ? options.open(peer) : Descriptor();
  if (!file.ok() || file->is_open()) return file;
  if (options.loops == nullptr || !options.loops->has_files() ||
      IsAbstract(peer.path())) {
    return file;
  }
  return OpenSocketFile(peer);
}

std::optional<ForwardLoops::UnixSocket> ForwardConnection::MaybeListener(
    const Unix::Address& peer, const Descriptor& file) const {
  const ForwardLoops* const loops = route_->options.loops;
  if (loops == nullptr || !loops->has_files()) return std::nullopt;
  if (IsAbstract(peer.path())) return peer.path();
  struct stat state;
  if (!file.is_open() || fstat(file.get(), &state) != 0) return std::nullopt;
  return ForwardLoops::Known(state);
}

void ForwardConnection::ConnectTo(const Unix::Address& peer) {
  const auto file = Open(peer);
  if (!file.ok()) {
    // Without an errno it was not looked for.
    return OnUnreached([&] {
      return Unreached{file.status(),
                       DetailOf(file.status()).error_number == 0
                           ? nullptr
                           : std::make_shared<const AnyAddress>(peer)};
    });
  }
  std::function<int(int)> prepare;
  const auto listener = MaybeListener(peer, *file);
  if (listener && Trail().LeadsToListener(*listener)) {
    if (Trail().LeadsBack(*listener)) return OnLedBack(peer);
    Trail().Clear();  // What the attempt before has noted.
    prepare = [this](int fd) { return Trail().GiveName(fd); };
  }
  auto connected = OpenAndConnect(peer, *file, prepare);
  if (!connected.ok()) {
    if (!IsBacklogFull(connected.status())) {
      return OnUnreached([&] {
        return Unreached{connected.status(),
                         std::make_shared<const AnyAddress>(peer)};
      });
    }
    if (!retry_) retry_ = std::make_unique<Retry>();
    retry_->at = After(lane().time().Now(), retry_->delay.Next());
    return RingAt(std::min(retry_->at, connect_by_));
  }
  retry_.reset();
  upstream_ = *std::move(connected);
  const auto address = std::make_shared<const AnyAddress>(peer);
  if (WatchUpstream(address)) OnConnected(address);
}

Task<> ForwardConnection::ConnectByName(
    std::shared_ptr<ForwardConnection> self,
    std::shared_ptr<const ForwardRoute> route, Deferred<> interrupt) {
  ConnectOptions connect;
  // Less is left where another process has begun with it.
  connect.timeout = std::clamp<Duration>(
      self->connect_by_ - self->lane().time().Now(),
      std::chrono::nanoseconds(1), route->options.connect_timeout);
  connect.interrupt = std::move(interrupt);
  auto where = std::get<WhereToConnect<Inet>>(route->options.upstream);
  connect.admit = route->options.admit;
  ByName attempt;
  self->Watch(attempt, connect, where.port);
  std::shared_ptr<SocketCore> socket;
  try {
    const Socket<Inet> connected =
        co_await ConnectSock<Inet>(std::move(where), std::move(connect));
    socket = connected.core();
  } catch (...) {
    attempt.error = std::current_exception();
  }
  self->interrupt_.reset();
  if (self->trail_) {
    self->trail_->KeepOnly(socket ? socket->socket().native_handle() : -1);
  }
  if (self->finished()) {
    if (socket != nullptr) socket->Reset();  // Nobody has ended it.
    self->trail_.reset();
  } else if (socket == nullptr) {
    self->OnUnreached([&] { return WhyNot(attempt, *route); });
  } else {
    self->OnConnectedByName(*socket);
  }
}

void ForwardConnection::Watch(ByName& attempt, ConnectOptions& connect,
                              int port) {
  ForwardTrail* const trail = MayBeListener(port) ? &Trail() : nullptr;
  connect.around_connect = [trail, &attempt](const Inet::Address& address,
                                             absl::FunctionRef<int()> begin) {
    attempt.tried = address;
    if (trail == nullptr) {
      begin();
    } else {
      trail->Connect(address, begin);
    }
  };
  if (trail == nullptr) return;
  connect.admit = [this, trail, &attempt, admit = std::move(connect.admit)](
                      const Inet::Address& address) {
    const absl::Status admitted = admit ? admit(address) : absl::OkStatus();
    const TimePoint now = lane().time().Now();
    if (!admitted.ok() || !trail->LeadsBack(address, now)) return admitted;
    return attempt.led_back = LedBackError(ToString(address));
  };
}

ForwardConnection::Unreached ForwardConnection::WhyNot(
    const ByName& attempt, const ForwardRoute& route) {
  Unreached unreached{StatusOf(attempt.error), nullptr};
  if (attempt.tried) {
    unreached.tried = std::make_shared<const AnyAddress>(*attempt.tried);
  }
  if (!attempt.led_back.ok()) {
    unreached.why = attempt.led_back;  // The other addresses were left.
  } else if (!attempt.tried &&
             DetailOf(unreached.why).reason == Reason::kConnectTimeout) {
    unreached.why =
        NoAnswerError(std::get<WhereToConnect<Inet>>(route.options.upstream));
  }
  return unreached;
}

void ForwardConnection::OnConnectedByName(SocketCore& socket) {
  const bool has_failed = socket.KnownFailure() != 0;
  const auto address = std::make_shared<const AnyAddress>(socket.peer());
  upstream_ = socket.Release();
  if (!WatchUpstream(address)) return;
  const uint32_t events = has_failed ? EPOLLERR | EPOLLIN : 0;
  NoteEvents(kUpstream, events);
  OnConnected(address);
  if (has_failed && !finished()) Continue(kUpstream, events);
}

bool ForwardConnection::WatchUpstream(const SharedAddress& address) {
  // The upstream is writable once it is connected.
  constexpr uint32_t kEvents = kReadable | EPOLLOUT;
  const int error =
      lane().poller().Add(upstream_.get(), kEvents, *this, kUpstream);
  if (error == 0) {
    upstream_watched_ = true;
    return true;
  }
  OnUnreached([&] {
    return Unreached{ErrnoError(error, "epoll_ctl", route_->upstream()),
                     address};
  });
  return false;
}

void ForwardConnection::OnConnectEvent(uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    // The upstream may have been connected, have said something, and then
    // have reset.
    const int error = TakeSocketError(upstream_.get());
    if (error != ECONNRESET && error != EPIPE) return OnConnectFailed(error);
  } else if (route_->may_be_itself &&
             IsConnectedToItself(upstream_.get(), *route_->literal)) {
    return OnConnectFailed(ECONNREFUSED);
  }
  OnConnected(route_->literal_name);
  if (!finished()) Continue(kUpstream, events);
}

void ForwardConnection::OnConnected(SharedAddress peer) {
  state_ = State::kConnected;
  if (route_->options.times_connecting) NoteConnectTime();
  if (route_->options.on_connected) {
    // Without memory for that the connection lacks a name, and goes on.
    Guarded([&] {
      TellHome([route = route_, id = id(), peer = std::move(peer)] {
        route->options.on_connected(id, peer);
      });
    });
  }
  Advance();
}

void ForwardConnection::NoteConnectTime() {
  const Duration limit = route_->options.connect_timeout;
  if (connect_by_ == TimePoint::max()) return;  // When it began is not known.
  NoteConnectTime(lane().time().Now() - (connect_by_ - limit));
}

void ForwardConnection::NoteConnectTime(Duration time) {
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(time);
  connect_micros_ = static_cast<uint32_t>(
      std::clamp<int64_t>(micros.count(), 0, kNotTimed - 1));
}

void ForwardConnection::OnDelayOver() {
  SetKeepalive(upstream_.get(), SocketOptions());
  if (!connected()) RingAt(connect_by_);
}

void ForwardConnection::OnUnreached(absl::FunctionRef<Unreached()> unreached) {
  const auto& tell = route_->options.on_unreached;
  if (tell && !finished()) {
    // Where there is no memory for words, there is the reason still.
    Guarded([&] {
      TellHome([route = route_, id = id(), what = unreached()] {
        route->options.on_unreached(id, what.why, what.tried);
      });
    });
  }
  EndWith(CloseReason::kUpstreamUnreachable);
}

void ForwardConnection::OnConnectFailed(int error_number) {
  OnUnreached([&] {
    return Unreached{ErrnoError(error_number != 0 ? error_number : ECONNREFUSED,
                                "connect", ToString(*route_->literal)),
                     route_->literal_name};
  });
}

void ForwardConnection::OnTimeout() {
  OnUnreached([this] {
    const std::string upstream = route_->upstream();
    if (!retry_) {
      return Unreached{ConnectTimeoutError(upstream), route_->literal_name};
    }
    const auto& where =
        std::get<WhereToConnect<Unix>>(route_->options.upstream);
    return Unreached{
        FullBacklogError(upstream),
        std::make_shared<const AnyAddress>(Unix::Address(where.path))};
  });
}

}  // namespace portreeve::server
