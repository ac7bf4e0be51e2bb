// Retry: whether and when a stream that broke is tried again.
#ifndef PORTREEVE_CLIENT_RETRY_H_
#define PORTREEVE_CLIENT_RETRY_H_

#include <optional>

#include "absl/time/time.h"

namespace portreeve::client {

// Decides; the caller waits.  Each wait is twice the one before it, up to a
// most, and by chance shorter by up to a half, so that those who have lost the
// same daemon do not come back at the same moment.  A stream that has lived for
// longer than the longest wait makes the next one the first again.
//
// Threads: one.
class Retry {
 public:
  static constexpr absl::Duration kFirstWait = absl::Milliseconds(200);
  static constexpr absl::Duration kMostWait = absl::Seconds(10);

  // `give_up_after`: how long after a stream broke the last try may be.  0: it
  // is never tried again.  Default: for ever.
  explicit Retry(absl::Duration give_up_after = absl::InfiniteDuration())
      : give_up_after_(give_up_after) {}

  // A stream counts: its initial metadata is there.
  void OnStart(absl::Time now);

  // It has broken, or could not be started.  Gives how long to wait before the
  // next try; nullopt to give up.  `chance` is in [0, 1), a new one each time.
  std::optional<absl::Duration> OnEnd(absl::Time now, double chance);

 private:
  const absl::Duration give_up_after_;
  absl::Duration next_wait_ = kFirstWait;
  std::optional<absl::Time> started_;       // While a stream counts.
  std::optional<absl::Time> broken_since_;  // While none does.
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_RETRY_H_
