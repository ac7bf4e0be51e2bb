#include "server/watch/snapshot_queue.h"

#include <algorithm>
#include <chrono>
#include <new>

#include "lib/base/check.h"

namespace portreeve::server {
namespace {

// After this it is tried again where there was no memory to go on.
constexpr std::chrono::milliseconds kAfterNoMemory{8};

}  // namespace

void SnapshotQueue::Wait(Watcher& watcher) {
  PORTREEVE_DCHECK(loop_.OnLoop());
  if (!no_memory_) no_memory_.emplace(TimeSource::Of(loop_.context()));
  waiting_.push_back(&watcher);
  Schedule();
}

void SnapshotQueue::Forget(const Watcher* watcher) {
  const auto it = std::find(waiting_.begin(), waiting_.end(), watcher);
  if (it == waiting_.end()) return;
  waiting_.erase(it);
  if (waiting_.empty()) no_memory_->Cancel();
}

void SnapshotQueue::Schedule() {
  if (step_posted_) return;
  try {
    loop_.Post([this] {
      step_posted_ = false;
      Step();
    });
    step_posted_ = true;
  } catch (const std::bad_alloc&) {
    // The timer has its memory.
    no_memory_->StartAfter(kAfterNoMemory, [this] { Step(); });
  }
}

void SnapshotQueue::Step() {
  if (waiting_.empty()) return;  // They have gone meanwhile.
  Watcher* const watcher = waiting_.front();
  const bool goes_on = watcher->TakeStep();
  if (!goes_on) Forget(watcher);  // It may be gone.
  if (!waiting_.empty()) Schedule();
}

}  // namespace portreeve::server
