// Lane: what the direct connections of one loop share.
#ifndef PORTREEVE_LIB_LANE_LANE_H_
#define PORTREEVE_LIB_LANE_LANE_H_

#include <array>
#include <boost/asio/io_context.hpp>
#include <span>
#include <vector>

#include "lib/base/delay_queue.h"
#include "lib/base/poller.h"
#include "lib/base/task_scope.h"
#include "lib/base/time_source.h"
#include "lib/lane/outbox.h"
#include "lib/lane/pipe_pool.h"

namespace portreeve {

// One for each io_context: Of() finds or makes it.
// Threads: the thread of its loop, but for loop() and num_connections.
class Lane final : private Poller::RoundWatch {
 public:
  static constexpr bool kEndsFirst = true;  // See OfLoop().

  static Lane& Of(asio::io_context& loop);
  static Lane& Of(const Executor& executor) { return Of(LoopOf(executor)); }

  explicit Lane(asio::io_context& loop);
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;
  ~Lane();

  asio::io_context& loop() const { return loop_; }
  Poller& poller() { return poller_; }
  TimeSource& time() { return time_; }
  PipePool& pipes() { return pipes_; }

  // Where connections wait until they are a second old.
  DelayQueue& young() { return young_; }

  // For what connections start and do not wait for; it ends by itself before
  // the loop runs dry.
  TaskScope& tasks() { return tasks_; }

  // For what a round sends and closes, at its end.
  Outbox& outbox() { return outbox_; }

  // Where to read to; what is there is nobody's after the step.
  std::span<char> scratch() { return scratch_; }

 private:
  // Poller::RoundWatch.
  void OnRoundBegin() override { outbox_.Begin(); }
  void OnRoundEnd() override { outbox_.End(); }

  asio::io_context& loop_;
  Poller& poller_;
  TimeSource& time_;
  PipePool pipes_;
  DelayQueue young_;
  TaskScope tasks_;
  Outbox outbox_;
  alignas(64) std::array<char, 64 * 1024> scratch_;
};

// The lanes over which a server spreads its connections.  The first one is the
// lane of the servers themselves, on whose loop clients are accepted and
// counted.
//
// Threads: the loop thread of the servers.  Lifetime: the servers'; the loops
// outlive it.
class LaneSet {
 public:
  explicit LaneSet(Lane& home) : entries_{{&home, 0}} {}
  LaneSet(const LaneSet&) = delete;
  LaneSet& operator=(const LaneSet&) = delete;

  void Add(Lane& lane) { entries_.push_back({&lane, 0}); }

  // The lane with the fewest connections, the first of several, for one more;
  // so a client is not handed to another thread unless that has less to do.
  Lane& Take() {
    Entry* least = &entries_.front();
    for (Entry& entry : entries_) {
      if (entry.num_connections < least->num_connections) least = &entry;
    }
    ++least->num_connections;
    return *least->lane;
  }
  // A connection of `lane` is closed.
  void GiveBack(const Lane& lane) {
    for (Entry& entry : entries_) {
      if (entry.lane == &lane) --entry.num_connections;
    }
  }

 private:
  struct Entry {
    Lane* lane;
    int num_connections;
  };
  std::vector<Entry> entries_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_LANE_LANE_H_
