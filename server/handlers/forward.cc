#include <sys/epoll.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/function_ref.h"
#include "lib/base/delay_queue.h"
#include "lib/base/doubling_delay.h"
#include "lib/base/guarded.h"
#include "lib/base/status.h"
#include "lib/connect/connect.h"
#include "lib/connect/connect_attempt.h"
#include "lib/net/close_socket.h"
#include "lib/net/socket_file.h"
#include "server/handlers/forward_errors.h"
#include "server/handlers/forward_loops.h"
#include "server/handlers/handlers.h"
#include "server/handlers/pumped_connection.h"

namespace portreeve::server {
namespace {

using SharedAddress = std::shared_ptr<const AnyAddress>;

// Why the upstream was not reached, and the last address that was tried; null
// where none was.
struct Unreached {
  absl::Status why;
  SharedAddress tried;
};

// What all connections of a handler share.
struct Route {
  explicit Route(ForwardOptions o)
      : options(std::move(o)),
        literal(Literal()),
        may_be_itself(literal && MayConnectToItself(*literal)),
        literal_name(literal ? std::make_shared<const AnyAddress>(*literal)
                             : nullptr) {}

  // Gives the upstream, where nothing has to be looked up or chosen.
  std::optional<Inet::Address> Literal() const {
    const auto* inet = std::get_if<WhereToConnect<Inet>>(&options.upstream);
    if (inet == nullptr || inet->bind_to_address || inet->bind_to_port) {
      return std::nullopt;
    }
    error_code not_literal;
    const auto address = asio::ip::make_address(inet->host, not_literal);
    if (not_literal) return std::nullopt;
    return Inet::Address(Effective(address), static_cast<uint16_t>(inet->port));
  }

  std::string upstream() const {
    return std::visit([](const auto& where) { return ToString(where); },
                      options.upstream);
  }
  bool is_unix() const {
    return std::holds_alternative<WhereToConnect<Unix>>(options.upstream);
  }

  const ForwardOptions options;
  const std::optional<Inet::Address> literal;
  // Whether a connection to `literal` could turn out to be one to itself.
  const bool may_be_itself;
  const SharedAddress literal_name;  // `literal`, for reports.
};

// Two sockets, and a flow each way, once the upstream is connected.
class ForwardConnection final : public PumpedConnection,
                                private DelayQueue::Entry {
 public:
  ForwardConnection(Accepted accepted, std::shared_ptr<const Route> route)
      : PumpedConnection(std::move(accepted)),
        route_(std::move(route)),
        flows_{Flow(ShortReadsOf(peer())),
               Flow(route_->is_unix() ? Pump::ShortReads::kMayStop
                                      : Pump::ShortReads::kAreAll,
                    no_delay())} {}

  ForwardConnection(Accepted accepted, const FrozenDirect& direct,
                    std::shared_ptr<const Route> route)
      : PumpedConnection(std::move(accepted), direct),
        route_(std::move(route)) {}

  // Becomes what another one was; `others` begin with the upstream, if it has a
  // socket.
  void Restore(const FrozenForward& frozen, std::vector<Descriptor> others) {
    size_t next = 0;
    if (frozen.connecting) connect_by_ = frozen.connecting->connect_by;
    if (!frozen.connecting) state_ = State::kConnected;
    if (!frozen.connecting || frozen.connecting->has_socket) {
      upstream_ = std::move(others.at(next++));
    }
    PumpedConnection::Restore(frozen.to_upstream, flows_[kClient], others,
                              next);
    PumpedConnection::Restore(frozen.to_client, flows_[kUpstream], others,
                              next);
    keepalive_is_due_ = frozen.keepalive_is_due;
    if (frozen.connect_time) NoteConnectTime(*frozen.connect_time);
  }

  // One that has to do with other listeners of the daemon stays.  What others
  // could have known of one that merely might, as to a port that a listener has
  // elsewhere, is lost: what leads back by that goes round once more.
  std::optional<Moving> Freeze() const override {
    if (trail_ != nullptr && trail_->ConcernsOthers(lane().time().Now())) {
      return std::nullopt;
    }
    auto direct = FreezeDirect();
    if (!direct) return std::nullopt;
    Moving moving{{*std::move(direct), FrozenForward()}, {fd()}};
    auto& forward = std::get<FrozenForward>(moving.frozen.handler);
    if (upstream_.is_open()) moving.descriptors.push_back(upstream_.get());
    if (!connected()) {
      forward.connecting.emplace();
      forward.connecting->connect_by = connect_by_;
      forward.connecting->has_socket = upstream_.is_open();
      forward.connecting->upstream = route_->upstream();
      forward.connecting->connect_timeout = route_->options.connect_timeout;
    }
    if (!PumpedConnection::Freeze(flows_[kClient], forward.to_upstream,
                                  moving.descriptors) ||
        !PumpedConnection::Freeze(flows_[kUpstream], forward.to_client,
                                  moving.descriptors)) {
      return std::nullopt;
    }
    forward.is_unix = route_->is_unix();
    forward.upstream_age_limit = route_->options.buffer_age_limit;
    forward.keepalive_is_due = DelayQueue::Entry::is_linked();
    forward.connect_time = connect_time();
    return moving;
  }

  // Gives ForwardConnectTime().
  std::optional<Duration> connect_time() const {
    if (connect_micros_ == kNotTimed) return std::nullopt;
    return std::chrono::microseconds(connect_micros_);
  }

 private:
  static constexpr uint32_t kNotTimed = std::numeric_limits<uint32_t>::max();
  enum class State : uint8_t { kConnecting, kConnected };
  struct Retry {
    DoublingDelay delay;
    TimePoint at;
  };
  // What is known of connecting by name.
  struct ByName {
    std::optional<Inet::Address> tried;  // The last one.
    absl::Status led_back;               // Of one that was left out for that.
    std::exception_ptr error;
  };

  std::shared_ptr<ForwardConnection> Self() {
    return std::static_pointer_cast<ForwardConnection>(shared_from_this());
  }

  // These connect.

  void Begin() override {
    const ForwardOptions& options = route_->options;
    if (HasComeBack()) return OnLedBack(local());
    connect_by_ = After(lane().time().Now(), options.connect_timeout);
    if (!route_->literal) return Connect();
    // A client that has reset before it was accepted, as those of a flood have,
    // costs no connection to the upstream, since epoll reports the reset first.
    lane().poller().CallAfterRound(*this, kClient);
  }

  void Connect() {
    if (route_->literal) return ConnectTo(*route_->literal);
    const auto* const file =
        std::get_if<WhereToConnect<Unix>>(&route_->options.upstream);
    if (file != nullptr) return ConnectTo(Unix::Address(file->path));
    const Executor executor(lane().loop().get_executor());
    interrupt_ = std::make_unique<const Ivar<>>(executor);
    lane().tasks().Spawn(ConnectByName(Self(), route_, interrupt_->deferred()));
  }

  // Whether the client is a connection of the daemon's that has come through
  // here before.
  bool HasComeBack() {
    ForwardLoops* const loops = route_->options.loops;
    if (loops == nullptr || !loops->has_connections()) return false;
    auto before = loops->PassedBy(peer(), local());
    if (before == nullptr) return false;
    trail_ = std::make_unique<ForwardTrail>(*loops, route_->options.listener,
                                            std::move(before));
    return trail_->is_loop();
  }

  // Gives the trail, for an upstream that may be a listener of the daemon's.
  ForwardTrail& Trail() {
    if (trail_ == nullptr) {
      const ForwardOptions& options = route_->options;
      trail_ = std::make_unique<ForwardTrail>(*options.loops, options.listener,
                                              nullptr);
    }
    return *trail_;
  }
  bool MayBeListener(int port) const {
    const ForwardLoops* const loops = route_->options.loops;
    return loops != nullptr && loops->HasPort(static_cast<uint16_t>(port));
  }

  void ConnectTo(const Inet::Address& peer) {
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

  // Gives the file to connect to; none where options.open is not there to ask.
  absl::StatusOr<Descriptor> Open(const Unix::Address& peer) const {
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

  // Gives what a listener of the daemon's at `peer`, whose file is `file`,
  // would be known by; nothing where there can be none.
  std::optional<ForwardLoops::UnixSocket> MaybeListener(
      const Unix::Address& peer, const Descriptor& file) const {
    const ForwardLoops* const loops = route_->options.loops;
    if (loops == nullptr || !loops->has_files()) return std::nullopt;
    if (IsAbstract(peer.path())) return peer.path();
    struct stat state;
    if (!file.is_open() || fstat(file.get(), &state) != 0) return std::nullopt;
    return ForwardLoops::Known(state);
  }

  void ConnectTo(const Unix::Address& peer) {
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

  // Connects to names, and to whatever else takes several steps.
  static Task<> ConnectByName(std::shared_ptr<ForwardConnection> self,
                              std::shared_ptr<const Route> route,
                              Deferred<> interrupt) {
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

  // Notes which addresses are tried; and watches attempts that may reach
  // listeners of the daemon's, so that an address that leads back is left out.
  void Watch(ByName& attempt, ConnectOptions& connect, int port) {
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

  static Unreached WhyNot(const ByName& attempt, const Route& route) {
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

  void OnConnectedByName(SocketCore& socket) {
    const bool has_failed = socket.KnownFailure() != 0;
    const auto address = std::make_shared<const AnyAddress>(socket.peer());
    upstream_ = socket.Release();
    if (!WatchUpstream(address)) return;
    const uint32_t events = has_failed ? EPOLLERR | EPOLLIN : 0;
    NoteEvents(kUpstream, events);
    OnConnected(address);
    if (has_failed && !finished()) Continue(kUpstream, events);
  }

  bool WatchUpstream(const SharedAddress& address) {
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

  void OnConnectEvent(uint32_t events) {
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

  void OnConnected(SharedAddress peer) {
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

  void NoteConnectTime() {
    const Duration limit = route_->options.connect_timeout;
    if (connect_by_ == TimePoint::max()) return;  // When it began is not known.
    NoteConnectTime(lane().time().Now() - (connect_by_ - limit));
  }
  void NoteConnectTime(Duration time) {
    const auto micros =
        std::chrono::duration_cast<std::chrono::microseconds>(time);
    connect_micros_ = static_cast<uint32_t>(
        std::clamp<int64_t>(micros.count(), 0, kNotTimed - 1));
  }

  // Keepalive is not set earlier: most connections do not get as old, and are
  // spared four system calls; the first probe is due after a minute.
  void OnDelayOver() override {
    SetKeepalive(upstream_.get(), SocketOptions());
    if (!connected()) RingAt(connect_by_);
  }

  // Ends the connection, for what `unreached` says.
  void OnUnreached(absl::FunctionRef<Unreached()> unreached) {
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
  template <typename Address>
  void OnLedBack(const Address& to) {
    OnUnreached([&] { return Unreached{LedBackError(ToString(to)), nullptr}; });
  }
  void OnConnectFailed(int error_number) {
    OnUnreached([&] {
      return Unreached{
          ErrnoError(error_number != 0 ? error_number : ECONNREFUSED, "connect",
                     ToString(*route_->literal)),
          route_->literal_name};
    });
  }
  void OnTimeout() {
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

  // These carry bytes.

  void OnReady(uint32_t events, int tag) override {
    if (finished()) return;
    const Side side = static_cast<Side>(tag);
    // This is done while it connects, too, since either side may have spoken
    // first.
    NoteEvents(side, events);
    if (connected()) return Continue(side, events);
    if (side == kUpstream) return OnConnectEvent(events);
    // A mere hang-up is no reset: a unix client that has sent all may be
    // closed.
    if ((events & EPOLLERR) != 0) return EndWith(CloseReason::kPeerReset);
    if (events == 0 && !upstream_.is_open()) Connect();
  }

  void OnRing(TimePoint now) override {
    if (connected()) return PumpedConnection::OnRing(now);
    if (now >= connect_by_) return OnTimeout();
    if (retry_ && now >= retry_->at) {
      ConnectTo(Unix::Address(
          std::get<WhereToConnect<Unix>>(route_->options.upstream).path));
    }
  }

  std::span<Flow> flows() override { return flows_; }
  int DescriptorOf(Side side) const override {
    return side == kClient ? fd() : upstream_.get();
  }
  const BufferAgeLimit& AgeLimitOf(size_t flow) const override {
    return flow == kClient ? route_->options.buffer_age_limit
                           : buffer_age_limit();
  }
  CutOff cut_off() const override { return CutOff::kIsReset; }

  // These end the connection.

  void CloseInOrder(CloseReason reason) override {
    if (connected() || reason == CloseReason::kShutdown) {
      return PumpedConnection::CloseInOrder(reason);
    }
    FinishSides(How::kInOrder, How::kReset);
  }

  void FinishSides(How client, How upstream) override {
    if (interrupt_) {
      interrupt_->FillIfEmpty();  // Who connects by name needs the trail still.
    } else {
      trail_.reset();
    }
    lane().young().Leave(*this);
    Finish(client, {std::move(upstream_), upstream, route_->is_unix(),
                    upstream_watched_, flows_[kUpstream].pump.received()});
  }

  int OnResume() override {
    // Only to a literal does a socket connect that is known here already.
    if (!connected() && upstream_.is_open() && !route_->literal) return EINVAL;
    if (upstream_.is_open()) {
      const int error = lane().poller().Add(
          upstream_.get(), kReadable | EPOLLOUT, *this, kUpstream);
      if (error != 0) return error;
      upstream_watched_ = true;
      // Whoever connects by name has a clock of its own.
      if (!connected()) RingAt(connect_by_);
    }
    if (keepalive_is_due_) lane().young().Join(*this);
    return PumpedConnection::OnResume();
  }
  void OnLetGo() override {
    if (interrupt_) {
      // Who connects by name ends with what it has, which is nobody else's.
      interrupt_->FillIfEmpty();
    } else {
      trail_.reset();
    }
    lane().young().Leave(*this);
    if (std::exchange(upstream_watched_, false)) {
      lane().poller().RemoveNow(upstream_.get(), *this, kUpstream);
    }
    upstream_ = Descriptor();
    PumpedConnection::OnLetGo();
  }

  bool connected() const { return state_ == State::kConnected; }

  const std::shared_ptr<const Route> route_;
  Descriptor upstream_;
  std::array<Flow, 2> flows_;                // From the client, and to it.
  std::unique_ptr<const Ivar<>> interrupt_;  // While it connects by name.
  std::unique_ptr<Retry> retry_;             // While a backlog is full.
  // Not null where it may have to do with other listeners of the daemon.
  std::unique_ptr<ForwardTrail> trail_;
  TimePoint connect_by_;
  State state_ = State::kConnecting;
  bool upstream_watched_ = false;
  bool keepalive_is_due_ = false;  // Of one that was moved, until OnResume().
  uint32_t connect_micros_ = kNotTimed;
};

}  // namespace

AnyHandler ForwardHandler(ForwardOptions options) {
  DirectHandler handler;
  handler.make = [route = std::make_shared<const Route>(std::move(options))](
                     DirectConnection::Accepted accepted) {
    return std::make_shared<ForwardConnection>(std::move(accepted), route);
  };
  return handler;
}

RestoreForward ForwardRestorer(ForwardOptions options) {
  return [route = std::make_shared<const Route>(std::move(options))](
             DirectConnection::Accepted accepted, const FrozenDirect& direct,
             const FrozenForward& frozen, std::vector<Descriptor> others) {
    return Restored(
        std::make_shared<ForwardConnection>(std::move(accepted), direct, route),
        [&](ForwardConnection& forward) {
          forward.Restore(frozen, std::move(others));
        });
  };
}

std::optional<Duration> ForwardConnectTime(const AnyConnection& connection) {
  return static_cast<const ForwardConnection&>(connection).connect_time();
}

}  // namespace portreeve::server
