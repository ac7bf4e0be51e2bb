// SnapshotQueue: has the snapshots of all who watch taken one after the other.
#ifndef PORTREEVE_SERVER_WATCH_SNAPSHOT_QUEUE_H_
#define PORTREEVE_SERVER_WATCH_SNAPSHOT_QUEUE_H_

#include <optional>
#include <vector>

#include "lib/base/loop.h"
#include "lib/base/time_source.h"

namespace portreeve::server {

// So however many come at the same time, the loop is held for one step of one
// snapshot at a time, and one snapshot at most has memory and is not complete.
//
// Threads: loop thread only, but for the constructor and the destructor, which
// any may call while nobody waits.
class SnapshotQueue {
 public:
  // Somebody whose snapshot is to be taken.
  class Watcher {
   public:
    virtual ~Watcher() = default;

    // Takes the next step of the snapshot, and gives whether there is another
    // one.  It may forget any watcher, itself included, and must not throw.
    virtual bool TakeStep() = 0;
  };

  // `loop` outlives it.
  explicit SnapshotQueue(Loop& loop) : loop_(loop) {}
  SnapshotQueue(const SnapshotQueue&) = delete;
  SnapshotQueue& operator=(const SnapshotQueue&) = delete;

  // Calls watcher.TakeStep(), a step of the loop each, until there is no other
  // one; after those who wait already.  The watcher must not wait already.
  void Wait(Watcher& watcher);
  // Forgets that the watcher waits, if it does.
  void Forget(Watcher& watcher) { Forget(&watcher); }

 private:
  void Forget(const Watcher* watcher);
  void Schedule();
  void Step();

  Loop& loop_;
  std::vector<Watcher*> waiting_;  // The first one's snapshot is being taken.
  bool step_posted_ = false;
  std::optional<Timer> no_memory_;  // From the first one on.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_WATCH_SNAPSHOT_QUEUE_H_
