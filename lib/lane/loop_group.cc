#include "lib/lane/loop_group.h"

#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/post.hpp>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/handler_memory.h"
#include "lib/base/mutex.h"

namespace portreeve {
namespace {

// Loop 0 is home.
std::string NameOf(size_t loop) { return absl::StrCat("loop-", loop); }

}  // namespace

// What the loops share with the thread that freezes them.  A step of a freeze
// that was given up may find it, too, and passes by.
class FrozenLoops::State : public std::enable_shared_from_this<State> {
 public:
  State(Loop& home, Poller& home_poller, size_t num_loops)
      : home_(home), home_poller_(home_poller), stopped_(num_loops) {}

  // On home.
  void Hold() {
    home_poller_.Hold();
    const MutexLock lock(mutex_);
    held_ = true;
    changed_.NotifyAll();
  }

  // On loop number `loop`: waits for Thaw().
  void Stop(size_t loop) {
    const MutexLock lock(mutex_);
    stopped_[loop] = true;
    changed_.NotifyAll();
    while (!thawed_) changed_.Wait(mutex_);
  }

  bool AwaitHeld(TimePoint deadline) {
    const MutexLock lock(mutex_);
    while (!held_) {
      if (!changed_.WaitUntil(mutex_, deadline)) return held_;
    }
    return true;
  }

  bool AwaitStopped(size_t loop, TimePoint deadline) {
    const MutexLock lock(mutex_);
    while (!stopped_[loop]) {
      if (!changed_.WaitUntil(mutex_, deadline)) return stopped_[loop];
    }
    return true;
  }

  void Thaw() {
    {
      const MutexLock lock(mutex_);
      thawed_ = true;
      changed_.NotifyAll();
    }
    // It comes after the Hold(), wherever that is.
    asio::post(
        home_.context(),
        asio::bind_allocator(memory_.allocator(), [self = shared_from_this()] {
          self->home_poller_.GoOn();
        }));
  }

 private:
  Loop& home_;
  Poller& home_poller_;
  HandlerMemory memory_;  // Of the post of Thaw().
  Mutex mutex_;
  CondVar changed_;
  bool held_ PORTREEVE_GUARDED_BY(mutex_) = false;
  bool thawed_ PORTREEVE_GUARDED_BY(mutex_) = false;
  std::vector<bool> stopped_ PORTREEVE_GUARDED_BY(mutex_);
};

FrozenLoops::FrozenLoops(std::shared_ptr<State> state)
    : state_(std::move(state)) {}

void FrozenLoops::Thaw() {
  if (const auto state = std::exchange(state_, nullptr)) state->Thaw();
}

LoopGroup::LoopGroup(Loop& home, int count)
    : home_(home),
      home_poller_(Poller::Of(home.context())),
      lanes_(Lane::Of(home.context())) {
  for (int i = 1; i < count; ++i) {
    others_.push_back(std::make_unique<Loop>(NameOf(static_cast<size_t>(i))));
    Loop& loop = *others_.back();
    auto make_lane = [&loop] { return &Lane::Of(loop.context()); };
    lanes_.Add(*loop.Run(make_lane).get());
  }
}

absl::StatusOr<FrozenLoops> LoopGroup::Freeze(TimePoint deadline) {
  PORTREEVE_CHECK(!home_.OnLoop());
  const auto state = std::make_shared<FrozenLoops::State>(home_, home_poller_,
                                                          others_.size() + 1);
  const auto late = [](size_t loop) {
    return absl::DeadlineExceededError(
        absl::StrCat(NameOf(loop), " has not come to rest"));
  };
  FrozenLoops frozen(state);  // However this ends, they go on.
  // First nobody is accepted any more, so that all who have been are decided
  // and begin, here and on their lanes: what home has posted for that is before
  // the step in which each loop stops.
  home_.Post([state] { state->Hold(); });
  if (!state->AwaitHeld(deadline)) return late(0);
  for (size_t i = 1; i <= others_.size(); ++i) {
    others_[i - 1]->Post([state, i] { state->Stop(i); });
  }
  for (size_t i = 1; i <= others_.size(); ++i) {
    if (!state->AwaitStopped(i, deadline)) return late(i);
  }
  // Last home, which by then has been sent all that the others send.
  home_.PostAfterAll([state] { state->Stop(0); });
  if (!state->AwaitStopped(0, deadline)) return late(0);
  return frozen;
}

}  // namespace portreeve
