// WatchSchedule: when those who watch look at the log.
#ifndef PORTREEVE_SERVER_WATCH_WATCH_SCHEDULE_H_
#define PORTREEVE_SERVER_WATCH_WATCH_SCHEDULE_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "lib/base/loop.h"
#include "lib/base/time_source.h"
#include "server/events/event_log.h"

namespace portreeve::server {

// All watchers look in the same step, so that they want the same events, and
// these are encoded once.  A lone event is looked at in the next step of the
// loop, or kPause after the last look.  Where kBurst events have come by then,
// they wait for more: until kBurstPause after the last look, or for
// kManyEvents.  So a burst makes few messages, which are what costs, and an
// event costs a comparison, however many watch.
//
// The log does not know of the schedule while nobody waits.
//
// Threads: loop thread only, but for the constructor and the destructor, which
// any may call while nobody waits.
class WatchSchedule {
 public:
  static constexpr std::chrono::milliseconds kPause{8};
  static constexpr std::chrono::milliseconds kBurstPause{20};
  static constexpr int64_t kBurst = 64;
  static constexpr int64_t kManyEvents = 1024;

  // Somebody who waits.
  class Watcher {
   public:
    virtual ~Watcher() = default;

    // Gives the revision that it wants next.
    virtual int64_t next() const = 0;
    // Is called once after each Wait(): the log has news, for others at least.
    // It must not throw: others are called after it.
    virtual void Look() = 0;
  };

  // `loop` and `log` outlive it.
  WatchSchedule(Loop& loop, EventLog& log) : loop_(loop), log_(log) {}
  WatchSchedule(const WatchSchedule&) = delete;
  WatchSchedule& operator=(const WatchSchedule&) = delete;

  // Calls watcher.Look() in a later step, once the log has what the watcher
  // wants next.  The watcher must not wait already.
  void Wait(Watcher& watcher);
  // Forgets that the watcher waits, if it does.
  void Forget(Watcher& watcher);

 private:
  void OnAppend();
  void Schedule();
  void OnPause();
  void Look();
  // How many events the next look will see.
  int64_t NumNew() const { return log_.last_revision() - looked_at_; }

  Loop& loop_;
  EventLog& log_;
  std::vector<Watcher*> waiting_;
  std::optional<EventLog::Subscription> subscription_;  // While some wait.
  std::optional<Timer> pause_;                          // From the first on.
  TimePoint last_look_;  // At first long ago: the clock counts from the start.
  int64_t looked_at_ = 0;  // The log's last revision at the last look.
  bool look_posted_ = false;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_WATCH_WATCH_SCHEDULE_H_
