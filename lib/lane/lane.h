// Lane: what the direct connections of one loop share to carry their bytes.
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

// There is one for each io_context: Of() finds or makes it.
// Threads: loop thread only, but for loop().
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

  // The queue in which connections wait until they are a second old.
  DelayQueue& young() { return young_; }

  // The scope for tasks that connections start and do not wait for.  Each has
  // to end by itself before the loop runs dry.
  TaskScope& tasks() { return tasks_; }

  // The outbox sends and closes, at the end of a round, what was put there
  // during the round.
  Outbox& outbox() { return outbox_; }

  // A buffer to read to; what is there is nobody's after the step.
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
// Threads: loop thread of the servers only.
// Lifetime: it must outlive the servers, and the loops must outlive it.
class LaneSet {
 public:
  explicit LaneSet(Lane& home) : entries_{{&home, 0}} {}
  LaneSet(const LaneSet&) = delete;
  LaneSet& operator=(const LaneSet&) = delete;

  void Add(Lane& lane) { entries_.push_back({&lane, 0}); }

  // Gives the lane with the fewest connections, the first of several, and
  // counts one more for it.  So a client is not handed to another thread unless
  // that has less to do.
  Lane& Take() {
    Entry* least = &entries_.front();
    for (Entry& entry : entries_) {
      if (entry.num_connections < least->num_connections) least = &entry;
    }
    ++least->num_connections;
    return *least->lane;
  }
  // Counts a connection of `lane` out.
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
