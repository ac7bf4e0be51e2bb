// LoopHealth: whether the daemon's loop turns, for those who ask from another
// thread.
#ifndef PORTREEVE_SERVER_DAEMON_LOOP_HEALTH_H_
#define PORTREEVE_SERVER_DAEMON_LOOP_HEALTH_H_

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "lib/base/executor.h"
#include "lib/base/loop.h"
#include "lib/base/time_source.h"
#include "server/http/http_message.h"
#include "server/http/loop_link.h"

namespace portreeve::server {

// Decides, without loops and clocks.  Whoever asks while a probe is under way
// gets what becomes of that one, so that a stuck loop has one at most.
class LoopProbe {
 public:
  // The loop is stuck that has not taken a probe for so long.
  static constexpr std::chrono::seconds kMost{1};

  // What becomes of somebody who asks.
  struct Asked {
    // A probe has to be sent now.
    bool send = false;
    // For so long the loop has been stuck; nothing: whoever asks has to wait
    // until the probe is back, or until `latest`.
    std::optional<Duration> stuck_for;
    TimePoint latest{};
  };
  Asked Ask(TimePoint now);

  // The probe is back: the loop turns.
  void OnBack() { sent_.reset(); }
  // Gives for how long the loop has been stuck, at `latest` or later.
  Duration StuckFor(TimePoint now) const { return now - *sent_; }

 private:
  std::optional<TimePoint> sent_;  // Of the probe that is under way.
};

// Answers 200 with "ok", or 503 with "loop stuck for 3.2 s".
// Threads: that of `executor`, which is not the loop.
// Lifetime: `loop` must outlive it.
class LoopHealth : public std::enable_shared_from_this<LoopHealth> {
 public:
  LoopHealth(Loop& loop, const Executor& executor);
  LoopHealth(const LoopHealth&) = delete;
  LoopHealth& operator=(const LoopHealth&) = delete;
  ~LoopHealth();

  void Ask(HttpDone done);

 private:
  void Send();
  void OnBack();
  void OnLate();
  // The probe will not be back.
  void OnLost();

  Loop& loop_;
  const std::shared_ptr<LoopLink> link_;  // Back to here.
  // The probe is lost on the way back, for want of memory.
  const std::shared_ptr<std::atomic<bool>> lost_;
  TimeSource& time_;
  LoopProbe probe_;
  std::vector<HttpDone> waiting_;
  Timer late_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_LOOP_HEALTH_H_
