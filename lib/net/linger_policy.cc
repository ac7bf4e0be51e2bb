#include "lib/net/linger_policy.h"

#include <algorithm>

namespace portreeve {

LingerPolicy::LingerPolicy(TimePoint now, TimePoint deadline, bool peer_sends)
    : deadline_(deadline),
      next_look_(After(now, delay_.Next())),
      peer_sends_(peer_sends) {}

void LingerPolicy::EndBy(TimePoint deadline) {
  deadline_ = std::min(deadline_, deadline);
}

TimePoint LingerPolicy::next_look() const {
  return std::min(next_look_, deadline_);
}

LingerPolicy::End LingerPolicy::OnLook(TimePoint now, int64_t discarded,
                                       Input input, int64_t unacknowledged) {
  if (discarded > 0) peer_sends_ = true;
  if (input == Input::kFailure) return End::kPeerReset;
  if (input == Input::kEnd) return End::kPeerEnded;
  if (unacknowledged == 0) return End::kAcknowledged;
  if (now >= deadline_) {
    // Where the FIN alone is left, there is nothing to lose.
    return peer_sends_ && unacknowledged > 1 ? End::kForced
                                             : End::kLeftToKernel;
  }
  if (now >= next_look_) next_look_ = After(now, delay_.Next());
  return End::kNone;
}

}  // namespace portreeve
