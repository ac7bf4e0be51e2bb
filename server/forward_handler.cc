#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "lib/close_socket.h"
#include "lib/connect.h"
#include "lib/connect_attempt.h"
#include "lib/delay_queue.h"
#include "lib/direct_connection.h"
#include "lib/outbox.h"
#include "server/handlers.h"
#include "server/pump.h"

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

  // The upstream, where nothing has to be looked up or chosen.
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

  const ForwardOptions options;
  const std::optional<Inet::Address> literal;
  // Whether a connection to it could turn out to be one to itself.
  const bool may_be_itself;
  const std::shared_ptr<const AnyAddress>
      literal_name;  // The same, to be told.
};

// Two sockets, and a Pump each way.
//
//   connecting -> connected -> each way ends by itself -> closed
//                           -> closing: what is held is flushed -> closed
class ForwardConnection final : public DirectConnection,
                                private DelayQueue::Entry,
                                private Outbox::Sender {
 public:
  ForwardConnection(Accepted accepted, std::shared_ptr<const Route> route)
      : DirectConnection(std::move(accepted)), route_(std::move(route)) {}

 private:
  enum Tag { kClient = 0, kUpstream = 1 };

  std::shared_ptr<ForwardConnection> Self() {
    return std::static_pointer_cast<ForwardConnection>(shared_from_this());
  }

  // Connecting.

  void Begin() override {
    const ForwardOptions& options = route_->options;
    if (route_->literal) {
      // A client that has reset before it was accepted, as those of a flood
      // have, costs no connection to the upstream: epoll tells it first.
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

  void ConnectTo(const Inet::Address& peer) {
    const ForwardOptions& options = route_->options;
    if (options.admit && !options.admit(peer).ok()) return OnUnreachable();
    SocketOptions later;  // The Pump and OnDelayOver() set them.
    later.no_delay = false;
    later.keepalive = false;
    auto connecting = OpenAndConnect(peer, std::nullopt, later);
    if (!connecting.ok()) return OnUnreachable();
    upstream_ = *std::move(connecting);
    if (!WatchUpstream()) return;
    const TimePoint now = lane().time().Now();
    connect_by_ = After(now, options.connect_timeout);
    // Almost all are connected before they have a second left to be: these need
    // no timer of their own.
    if (options.connect_timeout <= std::chrono::seconds(1)) RingAt(connect_by_);
    lane().young().Join(*this);
  }

  void ConnectTo(const Unix::Address& peer) {
    auto connected = OpenAndConnect(peer);
    if (!connected.ok()) return OnUnreachable();
    upstream_ = *std::move(connected);
    if (WatchUpstream()) OnConnected(std::make_shared<const AnyAddress>(peer));
  }

  // Names, and whatever else takes several steps.
  static Task<> ConnectByName(std::shared_ptr<ForwardConnection> self,
                              std::shared_ptr<const Route> route,
                              Deferred<> interrupt) {
    ConnectOptions connect;
    connect.timeout = route->options.connect_timeout;
    connect.interrupt = std::move(interrupt);
    connect.admit = route->options.admit;
    auto where = std::get<WhereToConnect<Inet>>(route->options.upstream);
    std::shared_ptr<SocketCore> socket;
    try {
      const Socket<Inet> connected =
          co_await ConnectSock<Inet>(std::move(where), std::move(connect));
      socket = connected.core();
    } catch (...) {
      // Of whatever kind: it shows in the connection's reason.
    }
    if (self->finished()) co_return;
    if (socket == nullptr) {
      self->OnUnreachable();
      co_return;
    }
    auto peer = std::make_shared<const AnyAddress>(socket->peer());
    self->upstream_ = socket->Release();
    if (self->WatchUpstream()) self->OnConnected(std::move(peer));
  }

  bool WatchUpstream() {
    // Writable is when it is connected.
    constexpr uint32_t kEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    if (lane().poller().Add(upstream_.get(), kEvents, *this, kUpstream) == 0) {
      upstream_watched_ = true;
      return true;
    }
    OnUnreachable();
    return false;
  }

  void OnConnectEvent(uint32_t events) {
    if ((events & (EPOLLERR | EPOLLHUP)) != 0 ||
        (route_->may_be_itself &&
         IsConnectedToItself(upstream_.get(), *route_->literal))) {
      return OnUnreachable();
    }
    OnConnected(route_->literal_name);
  }

  void OnConnected(std::shared_ptr<const AnyAddress> peer) {
    connected_ = true;
    if (route_->options.on_connected) {
      TellHome([route = route_, id = id(), peer = std::move(peer)] {
        route->options.on_connected(id, peer);
      });
    }
    Advance();
  }

  // Not earlier, for most connections do not get as old, and are spared four
  // system calls; the first probe is due after a minute.
  void OnDelayOver() override {
    SetKeepalive(upstream_.get(), SocketOptions());
    if (!connected_) RingAt(connect_by_);
  }

  void OnUnreachable() { EndWith(CloseReason::kUpstreamUnreachable); }

  // Carrying.

  void OnReady(uint32_t events, int tag) override {
    if (finished()) return;
    const bool hung_up = (events & (EPOLLERR | EPOLLHUP)) != 0;
    const bool target_told = hung_up || (events & EPOLLOUT) != 0;
    if (tag == kClient) {
      up_.NoteSource(events);
      if (target_told) down_blocked_ = false;
      if (!connected_) {
        if (hung_up) return EndWith(CloseReason::kPeerReset);
        if (events == 0) ConnectTo(*route_->literal);
        return;
      }
    } else {
      down_.NoteSource(events);  // It may have spoken first.
      if (!connected_) return OnConnectEvent(events);
      if (target_told) up_blocked_ = false;
    }
    Advance();
    // Nobody reads from a side whose data the other one does not take.
    if ((events & EPOLLERR) == 0 || finished()) return;
    if (TakeSocketError(tag == kClient ? fd() : upstream_.get()) != 0) {
      EndWith(tag == kClient ? CloseReason::kPeerReset
                             : CloseReason::kUpstreamReset);
    }
  }

  void OnSent(ssize_t result, std::string_view message, int tag) override {
    if ((tag == kClient ? up_ : down_).OnSent(lane(), result, message)) {
      return Advance();
    }
    Publish();
  }

  void Advance() {
    if (!up_blocked_ && !up_ended_) {
      OnUp(closing() ? up_.Flush(lane(), upstream_.get())
                     : up_.Run(lane(), fd(), upstream_.get(), *this, kClient));
    }
    if (finished()) return;
    if (!down_blocked_ && !down_ended_) {
      OnDown(closing()
                 ? down_.Flush(lane(), fd())
                 : down_.Run(lane(), upstream_.get(), fd(), *this, kUpstream));
    }
    if (finished()) return;
    Publish();
    if (up_ended_ && down_ended_) {
      End(closing() ? How::kInOrder : How::kAfterEnd,
          closing() ? How::kInOrder : How::kAfterEnd);
    } else if (up_ended_ && !std::exchange(upstream_shut_, true)) {
      (void)shutdown(upstream_.get(), SHUT_WR);
    } else if (down_ended_ && !std::exchange(client_shut_, true)) {
      (void)shutdown(fd(), SHUT_WR);
    }
  }

  void OnUp(Pump::State state) {
    switch (state) {
      case Pump::State::kAwaitsSource:
      case Pump::State::kSending:
        return;
      case Pump::State::kAwaitsTarget:
        up_blocked_ = true;
        return RingForAge();
      case Pump::State::kHasMore:
        return lane().poller().CallAgain(*this, kClient);
      case Pump::State::kEnded:
        NoteReason(CloseReason::kPeerClosed);
        up_ended_ = true;
        return;
      case Pump::State::kSourceFailed:
        return EndWith(CloseReason::kPeerReset);
      case Pump::State::kTargetFailed:
        return EndWith(CloseReason::kUpstreamReset);
    }
  }

  void OnDown(Pump::State state) {
    switch (state) {
      case Pump::State::kAwaitsSource:
      case Pump::State::kSending:
        return;
      case Pump::State::kAwaitsTarget:
        down_blocked_ = true;
        WatchWritable();
        return RingForAge();
      case Pump::State::kHasMore:
        return lane().poller().CallAgain(*this, kUpstream);
      case Pump::State::kEnded:
        NoteReason(CloseReason::kUpstreamClosed);
        down_ended_ = true;
        return;
      case Pump::State::kSourceFailed:
        return EndWith(CloseReason::kUpstreamReset);
      case Pump::State::kTargetFailed:
        return EndWith(CloseReason::kPeerReset);
    }
  }

  void Publish() {
    SetReceived(up_.received());
    SetSent(down_.sent());
    SetToWrite(down_.held());
  }

  // Time.

  // When what is held becomes too old; the end of time for never.
  static TimePoint TooOldAt(const Pump& pump, const BufferAgeLimit& limit) {
    if (!pump.held_since() || !limit.at_most()) return TimePoint::max();
    return After(*pump.held_since(), *limit.at_most());
  }
  TimePoint UpTooOldAt() const {
    return TooOldAt(up_, route_->options.buffer_age_limit);
  }
  TimePoint DownTooOldAt() const { return TooOldAt(down_, buffer_age_limit()); }

  void RingForAge() {
    const TimePoint when = std::min(UpTooOldAt(), DownTooOldAt());
    if (when != TimePoint::max()) RingAt(when);
  }

  void OnRing(TimePoint now) override {
    if (!connected_) return OnUnreachable();
    if (now >= DownTooOldAt()) {
      OverruleReason(CloseReason::kBufferAge);
      return End(How::kInOrder, How::kReset);
    }
    if (now >= UpTooOldAt()) {
      OverruleReason(CloseReason::kBufferAge);  // The client's bytes were lost.
      return End(How::kReset, How::kInOrder);
    }
    if (closing() && now >= *force_close_at_) {
      OverruleReason(CloseReason::kForced);
      return End(How::kInOrder, How::kReset);
    }
    RingForAge();
    if (closing()) RingAt(*force_close_at_);
  }

  // The end.

  bool closing() const { return force_close_at_.has_value(); }

  void CloseInOrder() override {
    if (closing()) return;
    if (!connected_) return End(How::kInOrder, How::kReset);
    Settle();
    if (finished()) return;
    force_close_at_ = After(lane().time().Now(), kForceCloseAfter);
    Advance();
    if (!finished()) RingAt(*force_close_at_);
  }

  void CloseWithReset() override { End(How::kReset, How::kReset); }

  // Resets both sides: what has not ended in order must not pass for it.
  void EndWith(CloseReason reason) {
    NoteReason(reason);
    End(How::kReset, How::kReset);
  }

  // Nothing of it is in the outbox afterwards.
  void Settle() {
    if (up_.sending() || down_.sending()) lane().outbox().Settle(*this);
  }

  void End(How client, How upstream) {
    Settle();
    if (finished()) return;  // By that.
    Publish();
    if (interrupt_) interrupt_->FillIfEmpty();
    lane().young().Leave(*this);
    if (upstream_watched_) lane().poller().Remove(*this);
    close_upstream_ = upstream;
    Finish(client);
  }

  void CloseOthers() override {
    if (!upstream_.is_open()) return;
    PrepareToClose(upstream_.get(), close_upstream_);
    CloseOther(std::move(upstream_));
  }

  const std::shared_ptr<const Route> route_;
  Descriptor upstream_;
  Pump up_;    // From the client.
  Pump down_;  // To the client.
  std::optional<TimePoint> force_close_at_;
  std::unique_ptr<const Ivar<>> interrupt_;  // While it connects by name.
  TimePoint connect_by_;
  How close_upstream_ = How::kReset;
  bool upstream_watched_ = false;
  bool connected_ = false;
  bool up_blocked_ = false;  // The upstream takes no more now.
  bool down_blocked_ = false;
  bool up_ended_ = false;  // The client's end was met, and all has gone.
  bool down_ended_ = false;
  bool upstream_shut_ = false;  // It was sent FIN.
  bool client_shut_ = false;
};

}  // namespace

AnyHandler ForwardHandler(ForwardOptions options) {
  AnyHandler handler;
  handler.make_direct = [route = std::make_shared<const Route>(std::move(
                             options))](DirectConnection::Accepted accepted) {
    return std::make_shared<ForwardConnection>(std::move(accepted), route);
  };
  return handler;
}

}  // namespace portreeve::server
