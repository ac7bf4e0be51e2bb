// ProgressTimer: asks for a sign of life when a stream has been silent.
#ifndef PORTREEVE_SERVER_CALLS_PROGRESS_TIMER_H_
#define PORTREEVE_SERVER_CALLS_PROGRESS_TIMER_H_

#include <functional>

#include "lib/base/time_source.h"
#include "server/calls/silence.h"

namespace portreeve::server {

// A message costs no timer: the one that runs looks for itself how long the
// silence has been.  A blocked stream has none.
//
// Threads: loop thread only.
class ProgressTimer {
 public:
  // `on_silence` is called after each `interval` without a message; it should
  // have one sent, must not throw, and may destroy the timer.
  ProgressTimer(TimeSource& time, Duration interval,
                std::function<void()> on_silence);

  // See Silence.
  void OnSend() { silence_.OnSend(); }
  void OnSent();

 private:
  void Arm(TimePoint when);
  void OnTime();

  TimeSource& time_;
  const Duration interval_;
  const std::function<void()> on_silence_;
  Silence silence_;
  Timer timer_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_PROGRESS_TIMER_H_
