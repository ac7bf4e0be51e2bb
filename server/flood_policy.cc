#include "server/flood_policy.h"

#include <algorithm>

namespace portreeve::server {
namespace {

// What leaks in `time`; a long one counts as a minute, which empties each
// bucket.
int64_t Leaked(Duration time, int64_t per_second) {
  const Duration at_most = std::min<Duration>(time, std::chrono::minutes(1));
  return at_most.count() / 1000 * per_second / 1'000'000;
}

}  // namespace

bool FloodPolicy::Bucket::Add(int64_t added, int64_t leaked, int64_t most) {
  level_ = std::max<int64_t>(level_ - leaked, 0);
  level_ = std::max<int64_t>(level_ + added, 0);
  return level_ > most;
}

FloodPolicy::Excess FloodPolicy::Look(TimePoint now, const Totals& totals) {
  const Duration time = looked_ ? now - *looked_ : Duration::zero();
  const int64_t calls = totals.begun - last_.begun;
  const int64_t message_bytes = totals.message_bytes - last_.message_bytes;
  const int64_t bytes = totals.received_bytes - last_.received_bytes -
                        message_bytes * 9 / 8 - calls * kBytesOfCall;
  const uint32_t received = totals.received_segments - last_.received_segments;
  const int64_t segments =
      received - (totals.messages - last_.messages) * kSegmentsOfMessage -
      message_bytes / kBytesOfSegment - calls * kSegmentsOfCall;
  SetCarrying(now, totals.carrying);
  // Each is filled, whatever the others say.
  const bool too_many_cancelled =
      cancelled_.Add(totals.cancelled - last_.cancelled,
                     Leaked(time, kCancelledPerSecond), kMostCancelled);
  const bool too_many_bytes =
      bytes_.Add(bytes, Leaked(time, kBytesPerSecond),
                 kMostBytes + carrying_ * kBytesOfCarrying);
  const bool too_many_segments =
      segments_.Add(segments, Leaked(time, kSegmentsPerSecond),
                    kMostSegments + carrying_ * kSegmentsOfCarrying);
  looked_ = now;
  last_ = totals;
  if (TooManyCalls(totals.in_flight, totals.carrying)) return Excess::kCalls;
  if (too_many_cancelled) return Excess::kCancelled;
  if (too_many_bytes) return Excess::kBytes;
  if (too_many_segments) return Excess::kSegments;
  return Excess::kNone;
}

void FloodPolicy::SetCarrying(TimePoint now, int carrying) {
  if (carrying >= carrying_) {
    carrying_ = carrying;
    carried_until_ = After(now, kAfterCarrying);
  } else if (now >= carried_until_) {
    const int64_t ended = carrying_ - carrying;
    bytes_.Add(-ended * kBytesOfCarrying, 0, 0);
    segments_.Add(-ended * kSegmentsOfCarrying, 0, 0);
    carrying_ = carrying;
    carried_until_ = After(now, kAfterCarrying);
  }
}

const char* ToText(FloodPolicy::Excess excess) {
  switch (excess) {
    case FloodPolicy::Excess::kNone:
      return "nothing";
    case FloodPolicy::Excess::kCalls:
      return "too many calls at a time";
    case FloodPolicy::Excess::kCancelled:
      return "too many calls that it takes back";
    case FloodPolicy::Excess::kBytes:
      return "too many bytes that are no calls";
    case FloodPolicy::Excess::kSegments:
      return "too many packets that are no calls";
  }
  return "";
}

}  // namespace portreeve::server
