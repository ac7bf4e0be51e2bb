#include "client/retry.h"

#include <algorithm>

namespace portreeve::client {

void Retry::OnStart(absl::Time now) {
  started_ = now;
  broken_since_.reset();
}

std::optional<absl::Duration> Retry::OnEnd(absl::Time now, double chance) {
  if (started_ && now - *started_ > kMostWait) next_wait_ = kFirstWait;
  started_.reset();
  if (!broken_since_) broken_since_ = now;
  const absl::Duration left = *broken_since_ + give_up_after_ - now;
  if (left <= absl::ZeroDuration()) return std::nullopt;
  const absl::Duration wait = next_wait_ * (1 - chance / 2);
  next_wait_ = std::min(2 * next_wait_, kMostWait);
  return std::min(wait, left);
}

}  // namespace portreeve::client
