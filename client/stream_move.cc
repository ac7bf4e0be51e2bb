#include "client/stream_move.h"

namespace portreeve::client {

StreamMove::Turn StreamMove::Begin(Frame frame) {
  const Said limit = frame == Frame::kEnd ? Said::kEnd : Said::kEof;
  if (said_ >= limit) return Turn::kAfterEnd;
  if (is_over_) return Turn::kOver;
  if (has_moved_) {
    if (!is_ending_) return Turn::kLater;
    // Who reads may be who sends, and learns the end only by reading on.
    has_lost_ = true;
    return Turn::kOver;
  }
  // The `eof` that is said again on a new leg.
  if (is_sending_) return Turn::kLater;
  is_sending_ = true;
  if (frame == Frame::kEof) said_ = Said::kEof;
  if (frame == Frame::kEnd) said_ = Said::kEnd;
  return Turn::kNow;
}

bool StreamMove::OnSent(bool ok) {
  is_sending_ = false;
  if (!ok) has_lost_ = true;
  return BeginHalfClose();
}

bool StreamMove::OnMoved() {
  has_moved_ = true;
  return BeginHalfClose();
}

void StreamMove::OnData() {
  if (has_moved_) is_ending_ = true;
}

bool StreamMove::OnEnd(bool ok) {
  // After the user's end there is `closed`, and nothing moves.
  const bool goes_on =
      ok && has_half_closed_ && !has_lost_ && !is_over_ && said_ != Said::kEnd;
  is_ending_ = false;
  if (!goes_on) is_over_ = true;
  return goes_on;
}

bool StreamMove::OnOpened() {
  has_moved_ = false;
  has_half_closed_ = false;
  is_sending_ = said_ == Said::kEof;
  return is_sending_;
}

bool StreamMove::BeginHalfClose() {
  if (!has_moved_ || is_sending_ || has_half_closed_ || has_lost_) return false;
  is_sending_ = true;
  has_half_closed_ = true;
  return true;
}

}  // namespace portreeve::client
