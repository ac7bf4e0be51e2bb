#include "server/calls/progress_timer.h"

#include <utility>

namespace portreeve::server {

ProgressTimer::ProgressTimer(TimeSource& time, Duration interval,
                             std::function<void()> on_silence)
    : time_(time),
      interval_(interval),
      on_silence_(std::move(on_silence)),
      silence_(interval, time.Now()),
      timer_(time) {
  Arm(silence_.due());
}

void ProgressTimer::OnSent() {
  silence_.OnSent(time_.Now());
  if (!timer_.armed()) Arm(silence_.due());
}

void ProgressTimer::Arm(TimePoint when) {
  if (when == TimePoint::max()) return;  // OnSent() will.
  timer_.StartAt(when, [this] { OnTime(); });
}

void ProgressTimer::OnTime() {
  if (time_.Now() < silence_.due()) return Arm(silence_.due());
  // First, for this may be destroyed then.  Where nothing can be sent, the next
  // try is as far away.
  Arm(After(time_.Now(), interval_));
  const std::function<void()> on_silence = on_silence_;
  on_silence();
}

}  // namespace portreeve::server
