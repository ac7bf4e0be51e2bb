#include "server/handover/handover_clock.h"

#include <cerrno>
#include <chrono>
#include <ctime>

namespace portreeve::server {
namespace {

class SystemClock final : public HandoverClock {
 public:
  TimePoint Now() override { return std::chrono::steady_clock::now(); }

  bool Poll(std::span<pollfd> fds, TimePoint deadline) override {
    for (;;) {
      const TimePoint now = Now();
      const Duration left = deadline > now ? deadline - now : Duration::zero();
      const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
      timespec time;
      time.tv_sec = static_cast<time_t>(seconds.count());
      time.tv_nsec = static_cast<long>((left - seconds).count());
      const int ready = ppoll(fds.data(), fds.size(), &time, nullptr);
      if (ready > 0) return true;
      if (ready == 0 && left == Duration::zero()) return false;
      // What poll(2) fails with but EINTR is want of memory, which only the
      // deadline ends.
      if (ready < 0 && errno != EINTR && left == Duration::zero()) return false;
    }
  }
};

}  // namespace

HandoverClock& HandoverClock::System() {
  static SystemClock clock;
  return clock;
}

}  // namespace portreeve::server
