#include "server/control/flood_watch.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <optional>
#include <utility>

#include "lib/base/guarded.h"

namespace portreeve::server {
namespace {

// How often it looks at those who send; less often where they are many, so that
// looking takes a small part of the loop's time.
constexpr std::chrono::milliseconds kLookInterval{5};
constexpr std::chrono::microseconds kLookIntervalOfEach{100};

// What gRPC and the heap may have for a connection that a client serves while
// all of them are busy; half of it, and less, once they wait for their peers.
constexpr int64_t kOfCarrying = 1 << 20;

// How long the bytes of all may be too many, unless they are far too many:
// requests that are on their way explain themselves once they are whole.
constexpr std::chrono::milliseconds kOnTheirWay{50};
// What comes sooner after it belongs to the same.
constexpr std::chrono::milliseconds kBetweenFloods{200};
constexpr int64_t kFarTooManyOfAll = 4 * FloodPolicy::kMostBytesOfAll;

}  // namespace

FloodWatch::FloodWatch(TimeSource& time, ControlTable& table,
                       ControlMemory& memory)
    : time_(time), table_(table), memory_(memory), timer_(time) {}

void FloodWatch::OnBytes(Client& client) {
  client.arrived_ = true;
  // It goes on to be called for the next bytes.
  if (client.connection().IsQuiet()) return;
  active_.insert(&client);
  client.TellOfBytes(false);
  GoOn();
}

void FloodWatch::OnEnded(Client& client) {
  active_.erase(&client);
  const TimePoint now = time_.Now();
  if (client.connection().is_shut_down()) NoteShutdowns(now);
  // What is left of the connections that it served is not to be anybody else's
  // fault, though nobody may send by then.
  memory_.policy().OnServerEnded(
      now, client.connection().most_carried() * kOfCarrying);
  GoOn();
}

void FloodWatch::Close() {
  active_.clear();
  timer_.Cancel();
}

void FloodWatch::GoOn() {
  const std::optional<TimePoint> next_trim = memory_.policy().next_trim();
  if (active_.empty() && !next_trim) return;
  const Duration interval =
      std::max<Duration>(kLookInterval, static_cast<int64_t>(active_.size()) *
                                            kLookIntervalOfEach);
  const TimePoint next =
      active_.empty() ? *next_trim : After(time_.Now(), interval);
  if (timer_.armed() && next_look_ <= next) return;
  next_look_ = next;
  timer_.StartAt(next, [this] {
    Guarded([this] { Look(); });
    GoOn();
  });
}

void FloodWatch::Look() {
  table_.OnLooked();
  const TimePoint now = time_.Now();
  for (auto it = active_.begin(); it != active_.end();) {
    it = LookAt(**it, now) ? std::next(it) : active_.erase(it);
  }
  // Each may find no memory to end the busiest with; what frees memory is done
  // all the same.
  Guarded([&] { LookAtAll(now); });
  Guarded([&] { LookAtMemory(now); });
  Trim(now);
}

bool FloodWatch::LookAt(Client& client, TimePoint now) {
  ControlConnection& connection = client.connection();
  const FloodPolicy::Totals totals = connection.Totals();
  const FloodPolicy::Excess excess = client.policy_.Look(now, totals);
  if (excess != FloodPolicy::Excess::kNone) {
    table_.ShutDown(connection, ToText(excess));
  }
  // An arrival is all that is known of a unix socket, so that each one has to
  // be reported.
  const bool arrived =
      connection.is_unix() && std::exchange(client.arrived_, false);
  const bool sends = connection.Look(now, totals, arrived) || arrived;
  if (!sends || connection.is_unix()) client.TellOfBytes(true);
  return sends;
}

// Looks for many clients that each stay below the limit of one.
void FloodWatch::LookAtAll(TimePoint now) {
  int64_t bytes = 0;
  for (Client* client : active_) {
    // What a client had sent that is shut down by now is nobody else's fault.
    if (client->connection().is_shut_down()) continue;
    bytes += client->policy_.unexplained_bytes();
  }
  const int64_t most = memory_.policy().IsOnAlert(now)
                           ? FloodPolicy::kMostBytesOnAlert
                           : FloodPolicy::kMostBytesOfAll;
  if (bytes <= most) return;
  if (now - too_many_at_ > kBetweenFloods) too_many_since_ = now;
  too_many_at_ = now;
  if (most == FloodPolicy::kMostBytesOfAll && bytes <= kFarTooManyOfAll &&
      now - too_many_since_ < kOnTheirWay) {
    return;
  }
  table_.ShutDownBusiest(ControlTable::Whom::kAllBeyondCredit,
                         "too many bytes of all clients that are no calls");
}

void FloodWatch::LookAtMemory(TimePoint now) {
  constexpr char kGrowth[] = "it makes the daemon grow (--max-control-memory)";
  switch (memory_.policy().Look(now, memory_.Unaccounted(), memory_.Resident(),
                                table_.num_carrying() * kOfCarrying)) {
    case MemoryPolicy::Alarm::kNone:
      return;
    case MemoryPolicy::Alarm::kGrowth:
      return table_.ShutDownBusiest(ControlTable::Whom::kAllAsBusy, kGrowth);
    case MemoryPolicy::Alarm::kGrowthWithinCredit:
      return table_.ShutDownBusiest(ControlTable::Whom::kWhoSendsMuch, kGrowth);
    case MemoryPolicy::Alarm::kLevel:
      return table_.ShutDownBusiest(
          ControlTable::Whom::kEvenThoseThatCarry,
          "the daemon takes too much memory (--max-control-memory)");
  }
}

// It counts shutdowns by the table, since others shut clients down, too.
void FloodWatch::NoteShutdowns(TimePoint now) {
  const int64_t num_shut_down = table_.num_shut_down();
  if (std::exchange(num_shut_down_, num_shut_down) != num_shut_down) {
    memory_.policy().OnShutDown(now);
  }
}

void FloodWatch::Trim(TimePoint now) {
  MemoryPolicy& policy = memory_.policy();
  NoteShutdowns(now);
  if (policy.next_trim() && *policy.next_trim() <= now) {
    policy.OnTrimmed(now);
    memory_.Trim();
  }
}

}  // namespace portreeve::server
