#include "server/daemon/loop_health.h"

#include <utility>

#include "absl/strings/str_format.h"

namespace portreeve::server {
namespace {

HttpAnswer Stuck(Duration time) {
  const double seconds = std::chrono::duration<double>(time).count();
  return {503, absl::StrFormat("loop stuck for %.1f s\n", seconds)};
}

}  // namespace

LoopProbe::Asked LoopProbe::Ask(TimePoint now) {
  Asked asked;
  if (!sent_) {
    sent_ = now;
    asked.send = true;
  }
  asked.latest = After(*sent_, kMost);
  if (now >= asked.latest) asked.stuck_for = StuckFor(now);
  return asked;
}

LoopHealth::LoopHealth(Loop& loop, const Executor& executor)
    : loop_(loop),
      link_(std::make_shared<LoopLink>(LoopOf(executor))),
      lost_(std::make_shared<std::atomic<bool>>(false)),
      time_(TimeSource::Of(executor)),
      late_(time_) {}

LoopHealth::~LoopHealth() { link_->Cut(); }

void LoopHealth::Ask(HttpDone done) {
  // Those who wait for it are answered when their time is up.
  if (lost_->exchange(false)) OnLost();
  const LoopProbe::Asked asked = probe_.Ask(time_.Now());
  if (asked.stuck_for) return done(Stuck(*asked.stuck_for));
  waiting_.push_back(std::move(done));
  late_.StartAt(asked.latest, [this] { OnLate(); });
  if (!asked.send) return;
  try {
    Send();
  } catch (...) {
    // There is no memory.  Nobody else waits.
    OnLost();
    throw;
  }
}

void LoopHealth::Send() {
  loop_.Post([link = link_, health = weak_from_this(), lost = lost_] {
    try {
      link->Post([health] {
        if (const auto self = health.lock()) self->OnBack();
      });
    } catch (...) {
      *lost = true;
    }
  });
}

void LoopHealth::OnLost() {
  probe_.OnBack();
  late_.Cancel();
  waiting_.clear();
}

void LoopHealth::OnBack() {
  probe_.OnBack();
  late_.Cancel();
  for (const HttpDone& done : std::exchange(waiting_, {})) done({200, "ok\n"});
}

void LoopHealth::OnLate() {
  const HttpAnswer stuck = Stuck(probe_.StuckFor(time_.Now()));
  for (const HttpDone& done : std::exchange(waiting_, {})) done(stuck);
}

}  // namespace portreeve::server
