// HandoverClock: the time of a hand-over, and the waits in it.
#ifndef PORTREEVE_SERVER_HANDOVER_HANDOVER_CLOCK_H_
#define PORTREEVE_SERVER_HANDOVER_HANDOVER_CLOCK_H_

#include <poll.h>

#include <span>

#include "lib/base/time_source.h"

namespace portreeve::server {

// Both processes see the same time: CLOCK_MONOTONIC.  Tests have a clock of
// their own.
class HandoverClock {
 public:
  virtual ~HandoverClock() = default;

  virtual TimePoint Now() = 0;

  // Waits until one of `fds` is ready, as poll(2) does, and gives true; false
  // at `deadline`.  One that is past is waited for by nobody, but `fds` are
  // looked at.
  virtual bool Poll(std::span<pollfd> fds, TimePoint deadline) = 0;

  // Gives that of the system.
  // Threads: any.
  static HandoverClock& System();
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDOVER_HANDOVER_CLOCK_H_
