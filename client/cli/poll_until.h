// PollUntil: poll() with a point in time.
#ifndef PORTREEVE_CLIENT_CLI_POLL_UNTIL_H_
#define PORTREEVE_CLIENT_CLI_POLL_UNTIL_H_

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace portreeve::cli {

// Does what poll() does for one descriptor, through every signal; 0 is given at
// `until` and never before.
inline int PollUntil(pollfd& descriptor, absl::Time until) {
  while (true) {
    const absl::Duration left = until - absl::Now();
    const int64_t milliseconds =
        absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1)));
    const int64_t most = std::numeric_limits<int>::max();
    const int timeout =
        left == absl::InfiniteDuration()
            ? -1
            : static_cast<int>(std::clamp<int64_t>(milliseconds, 0, most));
    const int ready = poll(&descriptor, 1, timeout);
    if (ready > 0 || (ready < 0 && errno != EINTR)) return ready;
    if (ready == 0 && absl::Now() >= until) return 0;
  }
}

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_POLL_UNTIL_H_
