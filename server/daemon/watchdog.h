// Watchdog: shows that every loop of the daemon turns.
#ifndef PORTREEVE_SERVER_DAEMON_WATCHDOG_H_
#define PORTREEVE_SERVER_DAEMON_WATCHDOG_H_

#include <atomic>
#include <cstddef>
#include <functional>

#include "lib/base/loop.h"
#include "lib/base/time_source.h"
#include "lib/lane/loop_group.h"

namespace portreeve::server {

// Every third of a period it sends a round through all loops, a step on each,
// and calls `alive` when it is back.  No round starts before the last one is
// back: while one loop is stuck, `alive` is not called.
//
// Threads: the thread of `home`, which `loops` has as its first.
// Lifetime: it must outlive `loops`, on whose threads its rounds are.  `alive`
// is not called after Stop().
class Watchdog {
 public:
  Watchdog(Loop& home, LoopGroup& loops, Duration period,
           std::function<void()> alive);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void Start();
  void Stop();  // Idempotent.

 private:
  void OnTick();
  // Goes on to the loop number `next` of the others, and from the last one
  // home.  Threads: that of the loop before.
  void Pass(size_t next) noexcept;
  void OnBack();

  Loop& home_;
  LoopGroup& loops_;
  const Duration interval_;
  const std::function<void()> alive_;
  Timer timer_;
  bool stopped_ = false;
  bool under_way_ = false;
  std::atomic<bool> lost_ = false;  // For want of memory.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_WATCHDOG_H_
