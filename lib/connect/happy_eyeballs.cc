#include "lib/connect/happy_eyeballs.h"

#include <utility>

#include "lib/base/check.h"

namespace portreeve {

HappyEyeballs::HappyEyeballs(std::set<Family> families)
    : lookups_(std::move(families)) {}

HappyEyeballs::Step HappyEyeballs::OnLookupDone(
    Family family, const std::vector<asio::ip::address>& addresses) {
  lookups_.erase(family);
  for (const asio::ip::address& address : addresses) {
    if (!seen_.insert(address).second) continue;
    (address.is_v6() ? v6_ : v4_).push_back(address);
  }
  return Next();
}

HappyEyeballs::Step HappyEyeballs::OnLookupFailed(Family family,
                                                  absl::Status error) {
  lookups_.erase(family);
  lookup_error_ = std::move(error);
  return Next();
}

HappyEyeballs::Step HappyEyeballs::OnAttemptFailed(absl::Status error) {
  PORTREEVE_CHECK(num_running_ > 0);
  --num_running_;
  attempt_error_ = std::move(error);
  delay_ = Delay::kNone;  // The next one starts at once.
  return Next();
}

void HappyEyeballs::OnAttemptDropped() {
  PORTREEVE_CHECK(num_running_ > 0);
  --num_running_;
}

HappyEyeballs::Step HappyEyeballs::OnTimer() {
  if (delay_ == Delay::kResolution) may_wait_for_v6_ = false;
  delay_ = Delay::kNone;
  return Next();
}

HappyEyeballs::Step HappyEyeballs::Next() {
  Step step;
  if (!has_queued()) {
    step.give_up = lookups_.empty() && num_running_ == 0;
    return step;
  }
  const bool v6_may_come = v6_.empty() && lookups_.count(Family::kV6) > 0;
  if (delay_ == Delay::kResolution && !v6_may_come) delay_ = Delay::kNone;
  if (delay_ != Delay::kNone) return step;
  if (v6_may_come && may_wait_for_v6_) {
    delay_ = Delay::kResolution;
    step.timer = kResolutionDelay;
    return step;
  }
  step.start = TakeNextAddress();
  may_wait_for_v6_ = false;
  ++num_running_;
  delay_ = Delay::kAttempt;
  step.timer = kAttemptDelay;
  return step;
}

std::optional<asio::ip::address> HappyEyeballs::TakeNextAddress() {
  auto& queue = v4_.empty() || (v6_is_next_ && !v6_.empty()) ? v6_ : v4_;
  const asio::ip::address address = queue.front();
  queue.pop_front();
  v6_is_next_ = address.is_v4();
  return address;
}

const absl::Status& HappyEyeballs::error() const {
  if (!attempt_error_.ok()) return attempt_error_;
  return refusal_.ok() ? lookup_error_ : refusal_;
}

}  // namespace portreeve
