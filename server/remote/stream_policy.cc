#include "server/remote/stream_policy.h"

#include "lib/base/check.h"

namespace portreeve::server {

bool StreamPolicy::may_read() const {
  return !is_held() && !stream_ended_ && !has_failed_ && !is_broken_;
}

StreamPolicy::Action StreamPolicy::OnFrame(Frame frame) {
  PORTREEVE_CHECK(may_read());
  Action action;
  switch (frame) {
    case Frame::kData:
      if (eof_said_ || (has_ended_ && !is_closed_)) {
        Fail(action);
      } else {
        action.write = takes_data();
        action.lost = is_closing_ && !is_closed_;
      }
      break;
    case Frame::kEof:
      HalfClose(action);
      break;
    case Frame::kDone:
      EndAs(End::kDone, action);
      break;
    case Frame::kReset:
      action.close = Close::kReset;
      action.reason = CloseReason::kHandlerDone;
      EndAs(End::kDone, action);
      break;
    case Frame::kRaised:
      EndAs(End::kRaised, action);
      break;
    case Frame::kNonsense:
      Fail(action);
      break;
  }
  return action;
}

StreamPolicy::Action StreamPolicy::OnStreamEnd() {
  PORTREEVE_CHECK(may_read());
  Action action;
  stream_ended_ = true;
  if (is_moving_) return action;
  HalfClose(action);
  if (eof_taken_) EndAs(End::kDone, action);
  return action;
}

StreamPolicy::Action StreamPolicy::OnBroken(bool peer_has_all) {
  Action action;
  is_broken_ = true;
  // Nothing was still to come, or nobody waits for it.
  if (!goes_on()) return action;
  action.close = peer_has_all ? Close::kInOrder : Close::kReset;
  action.reason = broken_reason_;
  EndAs(End::kDone, action);
  return action;
}

void StreamPolicy::OnWritten(size_t size, size_t waiting) {
  const bool may_go_on = is_moving_ && waiting <= kMostOnTheWay;
  is_held_ = size > 0 && waiting >= size && !may_go_on;
}

StreamPolicy::Action StreamPolicy::OnPeerEnd() {
  Action action;
  if (is_closed_ || is_moving_) return action;
  action.send_eof = eof_sent_ = true;
  return action;
}

StreamPolicy::Action StreamPolicy::OnPeerReset() {
  Action action;
  if (is_closed_) return action;
  action.close = Close::kReset;
  action.reason = CloseReason::kPeerReset;
  return action;
}

StreamPolicy::Action StreamPolicy::OnEofTaken() {
  Action action;
  eof_taken_ = true;
  if (stream_ended_ && !is_moving_) EndAs(End::kDone, action);
  return action;
}

bool StreamPolicy::OnMove() {
  if (!goes_on() || has_failed_ || is_broken_ || is_moving_) return false;
  is_moving_ = true;
  is_held_ = false;
  return true;
}

void StreamPolicy::OnCloseBegun() {
  if (!has_ended_) is_closing_ = true;
}

StreamPolicy::Action StreamPolicy::OnClosed() {
  Action action;
  is_closed_ = true;
  is_held_ = false;
  EndAs(End::kDone, action);
  return action;
}

StreamPolicy::Farewell StreamPolicy::FarewellOf(CloseReason reason) const {
  Farewell farewell;
  if (has_failed_) return farewell;
  farewell.closed = true;
  if (eof_sent_) return farewell;
  farewell.eof_is_reset = reason == CloseReason::kPeerReset;
  farewell.eof = farewell.eof_is_reset || reason == CloseReason::kPeerClosed;
  return farewell;
}

void StreamPolicy::HalfClose(Action& action) {
  action.half_close = takes_data();
  eof_said_ = true;
}

void StreamPolicy::EndAs(End end, Action& action) {
  if (has_ended_) return;
  has_ended_ = true;
  action.end = end;
}

void StreamPolicy::Fail(Action& action) {
  has_failed_ = true;
  action.close = Close::kReset;
  action.reason = broken_reason_;
  EndAs(End::kDone, action);
}

}  // namespace portreeve::server
