#include "server/daemon/watchdog.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace portreeve::server {

Watchdog::Watchdog(Loop& home, LoopGroup& loops, Duration period,
                   std::function<void()> alive)
    : home_(home),
      loops_(loops),
      interval_(std::max<Duration>(period / 3, std::chrono::milliseconds(1))),
      alive_(std::move(alive)),
      timer_(TimeSource::Of(home.context())) {}

void Watchdog::Start() { OnTick(); }

void Watchdog::Stop() {
  stopped_ = true;
  timer_.Cancel();
}

void Watchdog::OnTick() {
  timer_.StartAfter(interval_, [this] { OnTick(); });
  if (under_way_ && !lost_.exchange(false)) return;
  under_way_ = true;
  Pass(0);
}

void Watchdog::Pass(size_t next) noexcept {
  try {
    if (next == loops_.others().size()) {
      home_.Post([this] { OnBack(); });
    } else {
      loops_.others()[next]->Post([this, next] { Pass(next + 1); });
    }
  } catch (...) {
    lost_ = true;  // The next tick begins anew.
  }
}

void Watchdog::OnBack() {
  under_way_ = false;
  if (!stopped_) alive_();
}

}  // namespace portreeve::server
