#include <sys/epoll.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <variant>

#include "lib/base/delay_queue.h"
#include "lib/base/doubling_delay.h"
#include "lib/base/guarded.h"
#include "lib/base/status.h"
#include "lib/connect/connect.h"
#include "lib/connect/connect_attempt.h"
#include "lib/net/close_socket.h"
#include "lib/net/socket_file.h"
#include "server/handlers/forward_loops.h"
#include "server/handlers/handlers.h"
#include "server/handlers/pumped_connection.h"

namespace portreeve::server {
namespace {

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

  bool is_unix() const {
    return std::holds_alternative<WhereToConnect<Unix>>(options.upstream);
  }

  const ForwardOptions options;
  const std::optional<Inet::Address> literal;
  // Whether a connection to `literal` could turn out to be one to itself.
  const bool may_be_itself;
  const std::shared_ptr<const AnyAddress>
      literal_name;  // `literal`, for reports.
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

 private:
  enum class State { kConnecting, kConnected };
  struct Retry {
    DoublingDelay delay;
    TimePoint at;
  };

  std::shared_ptr<ForwardConnection> Self() {
    return std::static_pointer_cast<ForwardConnection>(shared_from_this());
  }

  // These connect.

  void Begin() override {
    const ForwardOptions& options = route_->options;
    if (HasComeBack()) return OnLoop();
    connect_by_ = After(lane().time().Now(), options.connect_timeout);
    if (route_->literal) {
      // A client that has reset before it was accepted, as those of a flood
      // have, costs no connection to the upstream, since epoll reports the
      // reset first.
      lane().poller().CallAfterRound(*this, kClient);
    } else if (const auto* file =
                   std::get_if<WhereToConnect<Unix>>(&options.upstream)) {
      ConnectTo(Unix::Address(file->path));
    } else {
      const Executor executor(lane().loop().get_executor());
      interrupt_ = std::make_unique<const Ivar<>>(executor);
      lane().tasks().Spawn(
          ConnectByName(Self(), route_, interrupt_->deferred()));
    }
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
    if (options.admit && !options.admit(peer).ok()) return OnUnreachable();
    absl::StatusOr<Descriptor> connecting;
    const auto connect = [&] {
      SocketOptions later;  // The Pump and OnDelayOver() set them.
      later.no_delay = false;
      later.keepalive = false;
      connecting = OpenAndConnect(peer, std::nullopt, later);
      return connecting.ok() ? connecting->get() : -1;
    };
    if (MayBeListener(peer.port())) {
      if (Trail().LeadsBack(peer, lane().time().Now())) return OnLoop();
      Trail().Connect(peer, connect);
    } else {
      connect();
    }
    if (!connecting.ok()) return OnUnreachable();
    upstream_ = *std::move(connecting);
    if (!WatchUpstream()) return;
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
    if (options.loops == nullptr || !options.loops->has_files()) return file;
    return OpenSocketFile(peer);
  }

  void ConnectTo(const Unix::Address& peer) {
    const auto file = Open(peer);
    if (!file.ok()) return OnUnreachable();
    std::function<int(int)> prepare;
    struct stat state;
    if (file->is_open() && route_->options.loops != nullptr &&
        route_->options.loops->has_files() && fstat(file->get(), &state) == 0 &&
        Trail().LeadsToListener(state)) {
      if (Trail().LeadsBack(state)) return OnLoop();
      Trail().Clear();  // What the attempt before has noted.
      prepare = [this](int fd) { return Trail().GiveName(fd); };
    }
    auto connected = OpenAndConnect(peer, *file, prepare);
    if (!connected.ok()) {
      if (!IsBacklogFull(connected.status())) return OnUnreachable();
      if (!retry_) retry_ = std::make_unique<Retry>();
      retry_->at = After(lane().time().Now(), retry_->delay.Next());
      return RingAt(std::min(retry_->at, connect_by_));
    }
    retry_.reset();
    upstream_ = *std::move(connected);
    if (WatchUpstream()) OnConnected(std::make_shared<const AnyAddress>(peer));
  }

  // Connects to names, and to whatever else takes several steps.
  static Task<> ConnectByName(std::shared_ptr<ForwardConnection> self,
                              std::shared_ptr<const Route> route,
                              Deferred<> interrupt) {
    ConnectOptions connect;
    connect.timeout = route->options.connect_timeout;
    connect.interrupt = std::move(interrupt);
    auto where = std::get<WhereToConnect<Inet>>(route->options.upstream);
    connect.admit = route->options.admit;
    if (self->MayBeListener(where.port)) self->Watch(connect);
    std::shared_ptr<SocketCore> socket;
    try {
      const Socket<Inet> connected =
          co_await ConnectSock<Inet>(std::move(where), std::move(connect));
      socket = connected.core();
    } catch (...) {
      // An error of whatever kind shows in the connection's reason.
    }
    self->interrupt_.reset();
    if (self->trail_) {
      self->trail_->KeepOnly(socket ? socket->socket().native_handle() : -1);
    }
    if (self->finished()) {
      if (socket != nullptr) socket->Reset();  // Nobody has ended it.
      self->trail_.reset();
    } else if (socket == nullptr) {
      self->OnUnreachable();
    } else {
      self->OnConnectedByName(*socket);
    }
  }

  // Watches attempts that may reach listeners of the daemon's, so that an
  // address that leads back is left out.
  void Watch(ConnectOptions& connect) {
    ForwardTrail& trail = Trail();
    connect.admit = [this, &trail, admit = std::move(connect.admit)](
                        const Inet::Address& address) {
      const absl::Status admitted = admit ? admit(address) : absl::OkStatus();
      const TimePoint now = lane().time().Now();
      if (!admitted.ok() || !trail.LeadsBack(address, now)) return admitted;
      TellOfLoop();
      ErrorDetail detail;
      detail.reason = Reason::kSelfConnect;
      detail.address = ToString(address);
      return MakeError(absl::StatusCode::kFailedPrecondition, detail,
                       "leads back");
    };
    connect.around_connect = [&trail](const Inet::Address& address,
                                      absl::FunctionRef<int()> begin) {
      trail.Connect(address, begin);
    };
  }

  void OnConnectedByName(SocketCore& socket) {
    const bool has_failed = socket.KnownFailure() != 0;
    upstream_ = socket.Release();
    if (!WatchUpstream()) return;
    const uint32_t events = has_failed ? EPOLLERR | EPOLLIN : 0;
    NoteEvents(kUpstream, events);
    OnConnected(std::make_shared<const AnyAddress>(socket.peer()));
    if (has_failed && !finished()) Continue(kUpstream, events);
  }

  bool WatchUpstream() {
    // The upstream is writable once it is connected.
    constexpr uint32_t kEvents = kReadable | EPOLLOUT;
    if (lane().poller().Add(upstream_.get(), kEvents, *this, kUpstream) == 0) {
      upstream_watched_ = true;
      return true;
    }
    OnUnreachable();
    return false;
  }

  void OnConnectEvent(uint32_t events) {
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
      // The upstream may have been connected, have said something, and then
      // have reset.
      const int error = TakeSocketError(upstream_.get());
      if (error != ECONNRESET && error != EPIPE) return OnUnreachable();
    } else if (route_->may_be_itself &&
               IsConnectedToItself(upstream_.get(), *route_->literal)) {
      return OnUnreachable();
    }
    OnConnected(route_->literal_name);
    if (!finished()) Continue(kUpstream, events);
  }

  void OnConnected(std::shared_ptr<const AnyAddress> peer) {
    state_ = State::kConnected;
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

  // Keepalive is not set earlier: most connections do not get as old, and are
  // spared four system calls; the first probe is due after a minute.
  void OnDelayOver() override {
    SetKeepalive(upstream_.get(), SocketOptions());
    if (!connected()) RingAt(connect_by_);
  }

  void OnUnreachable() { EndWith(CloseReason::kUpstreamUnreachable); }
  void OnLoop() {
    TellOfLoop();
    OnUnreachable();
  }
  void TellOfLoop() {
    if (finished() || !route_->options.on_loop) return;
    Guarded([&] { TellHome([route = route_] { route->options.on_loop(); }); });
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
    if (events == 0) ConnectTo(*route_->literal);
  }

  void OnRing(TimePoint now) override {
    if (connected()) return PumpedConnection::OnRing(now);
    if (now >= connect_by_) return OnUnreachable();
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

  bool connected() const { return state_ == State::kConnected; }

  const std::shared_ptr<const Route> route_;
  Descriptor upstream_;
  std::array<Flow, 2> flows_;                // From the client, and to it.
  std::unique_ptr<const Ivar<>> interrupt_;  // While it connects by name.
  std::unique_ptr<Retry> retry_;             // While a backlog is full.
  // Not null where it has to do with other listeners of the daemon.
  std::unique_ptr<ForwardTrail> trail_;
  TimePoint connect_by_;
  State state_ = State::kConnecting;
  bool upstream_watched_ = false;
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

}  // namespace portreeve::server
