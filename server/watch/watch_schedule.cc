#include "server/watch/watch_schedule.h"

#include <algorithm>
#include <new>
#include <utility>

#include "lib/base/check.h"

namespace portreeve::server {

void WatchSchedule::Wait(Watcher& watcher) {
  PORTREEVE_DCHECK(loop_.OnLoop());
  if (!pause_) pause_.emplace(TimeSource::Of(loop_.context()));
  waiting_.push_back(&watcher);
  try {
    if (!subscription_) subscription_.emplace(log_, [this] { OnAppend(); });
  } catch (const std::bad_alloc&) {
    waiting_.pop_back();  // It will ask again.
    throw;
  }
  if (watcher.next() <= log_.last_revision()) Schedule();
}

void WatchSchedule::Forget(Watcher& watcher) {
  PORTREEVE_DCHECK(loop_.OnLoop());
  const auto it = std::find(waiting_.begin(), waiting_.end(), &watcher);
  if (it == waiting_.end()) return;
  waiting_.erase(it);
  if (!waiting_.empty()) return;
  subscription_.reset();
  pause_->Cancel();
}

// Within each append, while somebody waits.
void WatchSchedule::OnAppend() {
  if (look_posted_) return;
  if (pause_->armed() && NumNew() < kManyEvents) return;
  Schedule();
}

void WatchSchedule::Schedule() {
  if (look_posted_) return;
  if (NumNew() < kManyEvents) {
    if (pause_->armed()) return;
    if (TimeSource::Of(loop_.context()).Now() < last_look_ + kPause) {
      return pause_->StartAt(last_look_ + kPause, [this] { OnPause(); });
    }
  }
  // In a later step, so that what happens in one step travels together.
  try {
    loop_.Post([this] {
      look_posted_ = false;
      Look();
    });
    look_posted_ = true;
  } catch (const std::bad_alloc&) {
    // The timer has its memory.
    pause_->StartAfter(kPause, [this] { OnPause(); });
  }
}

void WatchSchedule::OnPause() {
  if (NumNew() < kBurst) return Look();
  pause_->StartAt(last_look_ + kBurstPause, [this] { Look(); });
}

void WatchSchedule::Look() {
  if (waiting_.empty()) return;  // They have gone meanwhile.
  pause_->Cancel();
  last_look_ = TimeSource::Of(loop_.context()).Now();
  looked_at_ = log_.last_revision();
  // Those who find nothing that they want wait anew.
  const auto waiting = std::exchange(waiting_, {});
  for (Watcher* const watcher : waiting) watcher->Look();
  if (waiting_.empty()) subscription_.reset();
}

}  // namespace portreeve::server
