#include "lib/base/delay_queue.h"

#include "lib/base/guarded.h"

namespace portreeve {

DelayQueue::DelayQueue(TimeSource& time, Duration delay)
    : time_(time), delay_(delay), timer_(time) {}

void DelayQueue::Join(Entry& entry) {
  entry.due_ = After(time_.Now(), delay_);
  entries_.push_back(entry);
  if (!timer_.armed()) timer_.StartAt(entry.due_, [this] { OnTimer(); });
}

void DelayQueue::Leave(Entry& entry) {
  if (!entry.is_linked()) return;
  entries_.erase(entries_.iterator_to(entry));
  // The timer may be set for the entry that leaves: it finds the next one then.
  if (entries_.empty()) timer_.Cancel();
}

void DelayQueue::OnTimer() {
  const TimePoint now = time_.Now();
  while (!entries_.empty() && entries_.front().due_ <= now) {
    Entry& entry = entries_.front();
    entries_.pop_front();
    Guarded([&entry] { entry.OnDelayOver(); });
  }
  if (!entries_.empty() && !timer_.armed()) {
    timer_.StartAt(entries_.front().due_, [this] { OnTimer(); });
  }
}

}  // namespace portreeve
