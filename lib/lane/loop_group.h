// LoopGroup: the loops that carry the bytes of connections (--loops).
#ifndef PORTREEVE_LIB_LANE_LOOP_GROUP_H_
#define PORTREEVE_LIB_LANE_LOOP_GROUP_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/loop.h"
#include "lib/base/time_source.h"
#include "lib/lane/lane.h"

namespace portreeve {

// The loops of a LoopGroup while they stand still, from LoopGroup::Freeze() to
// Thaw().  Each waits in a step of its own, and so between two rounds of its
// poller.
//
// Meanwhile whoever has frozen them may read and change what belongs to them,
// as if it were on their threads: all that they did before is seen there, and
// all that is done there by them afterwards.  It must not wait for them
// (Loop::Run()), and nothing that it calls may.  Threads that are no loop's go
// on: what they share with loops under a lock is theirs, too (a
// SharedDescriptor, and with it the bytes of the client's stream on it).
//
// This holds while they stand still:
// - No system call is under way, of io_uring either.  What was read has been
//   dealt with, as far as the connection wanted to go in that step.  What was
//   to be sent in a round was given to the kernel, its sender knows how much of
//   it, and the outbox is empty.
// - Every client that was accepted is decided (AcceptPolicy), and its
//   connection has begun, on its lane, too.
// - A connection whose descriptor is closed has left connections() of its
//   server.
// - No timer goes off.  Those that come due do once the loops go on.
// - What is posted waits: functions, calls of CallAgain() and CallAfterRound(),
//   and Mailbox messages.  So a call of Close() may be on its way to another
//   loop.
// - What becomes ready waits in the kernel.
class FrozenLoops {
 public:
  FrozenLoops(FrozenLoops&&) noexcept = default;
  FrozenLoops& operator=(FrozenLoops&&) = delete;
  ~FrozenLoops() { Thaw(); }

  // Lets the loops go on.  Idempotent.  It takes no memory.
  void Thaw();

 private:
  friend class LoopGroup;
  class State;

  explicit FrozenLoops(std::shared_ptr<State> state);

  std::shared_ptr<State> state_;  // Null once thawed.
};

// Has the daemon's loop, on which everything else is, and others beside it that
// carry nothing but the bytes of built-in handlers.
//
// Threads: it must be made on the thread of `home`, to which lanes() belongs.
// Lifetime: `home` must outlive it, and it must outlive every server that uses
// lanes().
class LoopGroup {
 public:
  // Has `count` >= 1 loops in all, and starts the threads of all but `home`.
  LoopGroup(Loop& home, int count);
  LoopGroup(const LoopGroup&) = delete;
  LoopGroup& operator=(const LoopGroup&) = delete;

  LaneSet& lanes() { return lanes_; }

  // Gives the loops beside `home`.  Threads: any, until it is destroyed.
  const std::vector<std::unique_ptr<Loop>>& others() const { return others_; }

  // Has all loops stop.  Each comes to the end of its step, and of what it had
  // been given to do by then.  Where one has not by `deadline`, or there is no
  // memory (std::bad_alloc), all of them go on.
  // Errors: DEADLINE_EXCEEDED, which names a loop that has not stopped.
  //
  // While they stand still a Watchdog hears nothing from any of them, nor does
  // whoever waits for an answer of one.
  //
  // Threads: any that is no loop's; one at a time.
  // Lifetime: the loops must outlive what it gives, and must not have ended.
  absl::StatusOr<FrozenLoops> Freeze(TimePoint deadline);

 private:
  Loop& home_;
  Poller& home_poller_;
  std::vector<std::unique_ptr<Loop>> others_;
  LaneSet lanes_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_LANE_LOOP_GROUP_H_
