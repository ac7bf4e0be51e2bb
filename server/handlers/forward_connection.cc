#include "server/handlers/forward_connection.h"

#include <sys/epoll.h>

#include <cerrno>
#include <utility>
#include <variant>

namespace portreeve::server {

ForwardConnection::ForwardConnection(Accepted accepted,
                                     std::shared_ptr<const ForwardRoute> route)
    : PumpedConnection(std::move(accepted)),
      route_(std::move(route)),
      flows_{Flow(ShortReadsOf(peer())),
             Flow(route_->is_unix() ? Pump::ShortReads::kMayStop
                                    : Pump::ShortReads::kAreAll,
                  no_delay())} {}

ForwardConnection::ForwardConnection(Accepted accepted,
                                     const FrozenDirect& direct,
                                     std::shared_ptr<const ForwardRoute> route)
    : PumpedConnection(std::move(accepted), direct), route_(std::move(route)) {}

void ForwardConnection::Restore(const FrozenForward& frozen,
                                std::vector<Descriptor> others) {
  size_t next = 0;
  if (frozen.connecting) connect_by_ = frozen.connecting->connect_by;
  if (!frozen.connecting) state_ = State::kConnected;
  if (!frozen.connecting || frozen.connecting->has_socket) {
    upstream_ = std::move(others.at(next++));
  }
  PumpedConnection::Restore(frozen.to_upstream, flows_[kClient], others, next);
  PumpedConnection::Restore(frozen.to_client, flows_[kUpstream], others, next);
  keepalive_is_due_ = frozen.keepalive_is_due;
  if (frozen.connect_time) NoteConnectTime(*frozen.connect_time);
}

std::optional<Moving> ForwardConnection::Freeze() const {
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

void ForwardConnection::OnReady(uint32_t events, int tag) {
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

void ForwardConnection::OnRing(TimePoint now) {
  if (connected()) return PumpedConnection::OnRing(now);
  if (now >= connect_by_) return OnTimeout();
  if (retry_ && now >= retry_->at) {
    ConnectTo(Unix::Address(
        std::get<WhereToConnect<Unix>>(route_->options.upstream).path));
  }
}

void ForwardConnection::CloseInOrder(CloseReason reason) {
  if (connected() || reason == CloseReason::kShutdown) {
    return PumpedConnection::CloseInOrder(reason);
  }
  FinishSides(How::kInOrder, How::kReset);
}

void ForwardConnection::FinishSides(How client, How upstream) {
  if (interrupt_) {
    interrupt_->FillIfEmpty();  // Who connects by name needs the trail still.
  } else {
    trail_.reset();
  }
  lane().young().Leave(*this);
  Finish(client, {std::move(upstream_), upstream, route_->is_unix(),
                  upstream_watched_, flows_[kUpstream].pump.received()});
}

int ForwardConnection::OnResume() {
  // Only to a literal does a socket connect that is known here already.
  if (!connected() && upstream_.is_open() && !route_->literal) return EINVAL;
  if (upstream_.is_open()) {
    const int error = lane().poller().Add(upstream_.get(), kReadable | EPOLLOUT,
                                          *this, kUpstream);
    if (error != 0) return error;
    upstream_watched_ = true;
    // Whoever connects by name has a clock of its own.
    if (!connected()) RingAt(connect_by_);
  }
  if (keepalive_is_due_) lane().young().Join(*this);
  return PumpedConnection::OnResume();
}

void ForwardConnection::OnLetGo() {
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

}  // namespace portreeve::server
