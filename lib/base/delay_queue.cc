#include "lib/base/delay_queue.h"

#include <chrono>

#include "lib/base/guarded.h"

namespace portreeve {
namespace {

// A timer that is due already would go off in the same step.
constexpr std::chrono::milliseconds kPause{1};

}  // namespace

DelayQueue::DelayQueue(TimeSource& time, Duration delay, OnLeave on_leave)
    : time_(time), delay_(delay), on_leave_(on_leave), timer_(time) {}

void DelayQueue::SetTimer() {
  timer_.StartAt(entries_.front().due_, [this] { OnTimer(); });
}

void DelayQueue::Join(Entry& entry) {
  entry.due_ = After(time_.Now(), delay_);
  entries_.push_back(entry);
  if (!timer_.armed()) SetTimer();
}

void DelayQueue::Leave(Entry& entry) {
  if (!entry.is_linked()) return;
  const bool was_first = &entry == &entries_.front();
  entries_.erase(entries_.iterator_to(entry));
  if (entries_.empty()) {
    timer_.Cancel();
  } else if (was_first && on_leave_ == OnLeave::kMoveTimer) {
    SetTimer();
  }  // Else the timer finds the next one when it goes off.
}

void DelayQueue::OnTimer() {
  const TimePoint now = time_.Now();
  for (int called = 0; !entries_.empty() && entries_.front().due_ <= now;
       ++called) {
    if (called == kPerStep) {
      timer_.StartAfter(kPause, [this] { OnTimer(); });
      return;
    }
    Entry& entry = entries_.front();
    entries_.pop_front();
    Guarded([&entry] { entry.OnDelayOver(); });
  }
  if (!entries_.empty() && !timer_.armed()) SetTimer();
}

}  // namespace portreeve
