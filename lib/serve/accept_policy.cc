#include "lib/serve/accept_policy.h"

#include <algorithm>

#include "lib/base/check.h"

namespace portreeve {

AcceptPolicy::AcceptPolicy(Limits limits)
    : limits_(limits), highest_limit_(limits.max_connections) {
  PORTREEVE_CHECK(limits.max_connections >= 1);
  PORTREEVE_CHECK(limits.max_accepts_per_batch >= 1);
}

int AcceptPolicy::free_slots() const {
  return limits_.max_connections - num_connections_ - num_accepted_;
}

int AcceptPolicy::NextBatch() const {
  if (closed_ || wait_pending_) return 0;
  return std::clamp(free_slots(), 0, limits_.max_accepts_per_batch);
}

void AcceptPolicy::OnWaitStarted() {
  PORTREEVE_CHECK(NextBatch() > 0);
  wait_pending_ = true;
}

void AcceptPolicy::OnWaitEnded() {
  PORTREEVE_CHECK(wait_pending_);
  wait_pending_ = false;
}

void AcceptPolicy::OnAccepted() {
  PORTREEVE_CHECK(NextBatch() > 0);
  ++num_accepted_;
}

AcceptPolicy::Verdict AcceptPolicy::OnStart() {
  PORTREEVE_CHECK(num_accepted_ > 0);
  --num_accepted_;
  if (closed_) return Verdict::kCloseAtOnce;
  if (drop_incoming_) return Verdict::kDrop;
  ++num_connections_;
  return Verdict::kHandle;
}

void AcceptPolicy::OnHeld() {
  ++num_connections_;
  highest_limit_ = std::max(highest_limit_, num_connections_ + num_accepted_);
}

void AcceptPolicy::OnFinished() {
  PORTREEVE_CHECK(num_connections_ > 0);
  --num_connections_;
  if (free_slots() >= 0) highest_limit_ = limits_.max_connections;
}

void AcceptPolicy::OnClose() { closed_ = true; }

void AcceptPolicy::SetLimits(Limits limits) {
  PORTREEVE_CHECK(limits.max_connections >= 1);
  PORTREEVE_CHECK(limits.max_accepts_per_batch >= 1);
  limits_ = limits;
  highest_limit_ = free_slots() >= 0
                       ? limits.max_connections
                       : std::max(highest_limit_, limits.max_connections);
}

void AcceptPolicy::CheckInvariants() const {
  PORTREEVE_CHECK(num_connections_ >= 0 && num_accepted_ >= 0);
  PORTREEVE_CHECK(num_connections_ + num_accepted_ <= highest_limit_);
  PORTREEVE_CHECK(NextBatch() <= limits_.max_accepts_per_batch);
  PORTREEVE_CHECK(!closed_ || NextBatch() == 0);
}

}  // namespace portreeve
