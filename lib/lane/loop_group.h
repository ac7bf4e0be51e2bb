// LoopGroup: the loops that carry the bytes of connections (--loops).
#ifndef PORTREEVE_LIB_LANE_LOOP_GROUP_H_
#define PORTREEVE_LIB_LANE_LOOP_GROUP_H_

#include <memory>
#include <vector>

#include "lib/base/loop.h"
#include "lib/lane/lane.h"

namespace portreeve {

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

 private:
  std::vector<std::unique_ptr<Loop>> others_;
  LaneSet lanes_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_LANE_LOOP_GROUP_H_
