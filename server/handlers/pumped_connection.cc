#include "server/handlers/pumped_connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "lib/base/socket_calls.h"

namespace portreeve::server {
namespace {

CloseReason ReasonOfEnd(int side) {
  return side == 0 ? CloseReason::kPeerClosed : CloseReason::kUpstreamClosed;
}

CloseReason ReasonOfFailure(int side) {
  return side == 0 ? CloseReason::kPeerReset : CloseReason::kUpstreamReset;
}

}  // namespace

PumpedConnection::Side PumpedConnection::TargetOf(size_t flow) {
  return static_cast<Side>(flows().size() - 1 - flow);
}

void PumpedConnection::NoteEvents(Side side, uint32_t events) {
  flows()[side].pump.NoteSource(events);
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
    FlowTo(side).blocked = false;
  }
}

void PumpedConnection::Continue(Side side, uint32_t events) {
  Advance();
  // Nobody reads from a side whose bytes the other one does not take.
  if ((events & EPOLLERR) != 0 && !finished()) EndWith(ReasonOfFailure(side));
}

void PumpedConnection::Advance() {
  const std::span<Flow> all = flows();
  for (size_t i = 0; i < all.size(); ++i) {
    Flow& flow = all[i];
    if (flow.blocked || flow.ended) continue;
    const Side target = TargetOf(i);
    OnState(i, closing() ? flow.pump.Flush(lane(), DescriptorOf(target))
                         : flow.pump.Run(lane(), DescriptorOf(Side(i)),
                                         DescriptorOf(target), *this,
                                         static_cast<int>(i)));
    if (finished()) return;
  }
  Publish();
  if (all.front().ended && all.back().ended) {
    const auto how = [&](Side side) {
      return all[side].pump.met_eof() ? How::kAfterEnd : How::kInOrder;
    };
    return End(how(kClient), how(Side(all.size() - 1)));
  }
  for (size_t i = 0; i < all.size(); ++i) {
    if (!all[i].ended || all[i].shut) continue;
    all[i].shut = true;
    (void)shutdown(DescriptorOf(TargetOf(i)), SHUT_WR);
  }
}

void PumpedConnection::OnState(size_t flow, Pump::State state) {
  switch (state) {
    case Pump::State::kAwaitsSource:
    case Pump::State::kSending:
      return;
    case Pump::State::kAwaitsTarget:
      return OnBlocked(flow);
    case Pump::State::kHasMore:
      if (CallAgain(static_cast<int>(flow))) return;
      return EndWith(CloseReason::kForced);
    case Pump::State::kEnded:
      return OnEnded(flow);
    case Pump::State::kSourceFailed:
      return EndWith(ReasonOfFailure(static_cast<int>(flow)));
    case Pump::State::kOutOfMemory:
      return EndWith(CloseReason::kForced);
    case Pump::State::kTargetFailed:
      return EndWith(ReasonOfFailure(TargetOf(flow)));
  }
}

void PumpedConnection::OnEnded(size_t flow) {
  // A send to the source, whose result is not known yet, may have taken the
  // error that was the cause of its end.
  const Side source = Side(flow);
  if (FlowTo(source).pump.sending()) {
    Settle();
    if (finished() || flows()[flow].ended) return;
  }
  if (FlowTo(source).pump.target_failed()) {
    return EndWith(ReasonOfFailure(source));
  }
  NoteReason(ReasonOfEnd(source));
  flows()[flow].ended = true;
}

void PumpedConnection::OnBlocked(size_t flow) {
  flows()[flow].blocked = true;
  // The other side is reported as writable from the beginning.
  if (TargetOf(flow) == kClient && !WatchWritable()) {
    return EndWith(CloseReason::kForced);
  }
  RingForAge();
}

void PumpedConnection::OnSent(ssize_t result, std::string_view message,
                              int tag) {
  if (flows()[static_cast<size_t>(tag)].pump.OnSent(lane(), result, message)) {
    return Advance();
  }
  Publish();
}

void PumpedConnection::Publish() {
  const Pump& to_client = flows().back().pump;
  SetReceived(flows().front().pump.received());
  SetSent(to_client.sent());
  SetToWrite(to_client.held());
}

// Gives when what is held becomes too old; the end of time for never.
TimePoint PumpedConnection::TooOldAt(size_t flow) {
  const auto& held_since = flows()[flow].pump.held_since();
  const auto limit = AgeLimitOf(flow).at_most();
  return held_since && limit ? After(*held_since, *limit) : TimePoint::max();
}

void PumpedConnection::RingForAge() {
  for (size_t i = 0; i < flows().size(); ++i) {
    if (TooOldAt(i) != TimePoint::max()) RingAt(TooOldAt(i));
  }
}

void PumpedConnection::OnRing(TimePoint now) {
  for (size_t i = 0; i < flows().size(); ++i) {
    if (now >= TooOldAt(i)) return EndByDaemon(CloseReason::kBufferAge);
  }
  if (closing() && now >= force_close_at()) {
    return EndByDaemon(CloseReason::kForced);
  }
  RingForAge();
  if (closing()) RingAt(force_close_at());
}

void PumpedConnection::CloseInOrder(CloseReason reason) {
  Settle();
  if (finished()) return;
  if (reason == CloseReason::kShutdown && cut_off() == CutOff::kIsReset) {
    return CutOffSides();
  }
  Advance();
  if (!finished()) RingAt(force_close_at());
}

void PumpedConnection::CloseWithReset() { End(How::kReset, How::kReset); }

void PumpedConnection::EndWith(CloseReason reason) {
  NoteReason(reason);
  End(How::kReset, How::kReset);
}

void PumpedConnection::EndByDaemon(CloseReason reason) {
  Settle();
  if (finished()) return;
  OverruleReason(reason);
  if (cut_off() == CutOff::kGetsFin) return End(How::kAtOnce, How::kAtOnce);
  const How client = HowToCutOff(kClient);
  Publish();
  // What the reset throws away does not count as sent.
  if (client == How::kReset) {
    SetSent(bytes_sent() - UnsentBytes(DescriptorOf(kClient)));
  }
  FinishSides(client, HowToCutOff(kUpstream));
}

void PumpedConnection::CutOffSides() {
  End(HowToCutOff(kClient), HowToCutOff(kUpstream));
}

bool PumpedConnection::Freeze(const Flow& flow, FrozenFlow& to,
                              std::vector<int>& descriptors) {
  if (flow.pump.sending()) return false;
  to.pump = flow.pump.Freeze();
  to.blocked = flow.blocked;
  to.ended = flow.ended;
  to.shut = flow.shut;
  if (const Pipe* const pipe = flow.pump.held_pipe()) {
    descriptors.push_back(pipe->read().get());
    descriptors.push_back(pipe->write().get());
  }
  return true;
}

void PumpedConnection::Restore(const FrozenFlow& frozen, Flow& flow,
                               std::vector<Descriptor>& others, size_t& next) {
  Descriptor read, write;
  if (frozen.pump.in_pipe > 0) {
    read = std::move(others.at(next++));
    write = std::move(others.at(next++));
  }
  flow.pump.Restore(frozen.pump, std::move(read), std::move(write));
  flow.blocked = frozen.blocked;
  flow.ended = frozen.ended;
  flow.shut = frozen.shut;
}

int PumpedConnection::OnResume() {
  RingForAge();
  if (closing()) RingAt(force_close_at());
  return 0;
}

void PumpedConnection::OnLetGo() {
  for (Flow& flow : flows()) flow.pump.LetGo();
}

DirectConnection::How PumpedConnection::HowToCutOff(Side side) {
  return FlowTo(side).ended ? How::kInOrder : How::kReset;
}

// Has the outbox do what it has of this connection, so that nothing is left
// there.
void PumpedConnection::Settle() {
  for (const Flow& flow : flows()) {
    if (flow.pump.sending()) return lane().outbox().Settle(*this);
  }
}

void PumpedConnection::End(How client, How upstream) {
  Settle();
  if (finished()) return;  // Settle() has ended it.
  Publish();
  FinishSides(client, upstream);
}

}  // namespace portreeve::server
