#include "server/control/flood_policy.h"

#include <algorithm>

namespace portreeve::server {
namespace {

// Gives what leaks in `time` since the first look.
int64_t Leaked(Duration time, int64_t per_second) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto rest =
      std::chrono::floor<std::chrono::microseconds>(time - seconds);
  return seconds.count() * per_second + rest.count() * per_second / 1'000'000;
}

}  // namespace

bool FloodPolicy::Bucket::Add(int64_t added, int64_t leaked, int64_t most) {
  level_ = std::max<int64_t>(level_ - leaked, 0);
  level_ = std::max<int64_t>(level_ + added, 0);
  return level_ > most;
}

FloodPolicy::Excess FloodPolicy::Look(TimePoint now, const Totals& totals) {
  if (!first_look_) first_look_ = last_look_ = now;
  // What is left of a whole one at a look counts for the next look.
  const auto leaked = [since = now - *first_look_,
                       before = last_look_ - *first_look_](int64_t per_second) {
    return Leaked(since, per_second) - Leaked(before, per_second);
  };
  const int64_t calls = totals.begun - last_.begun;
  const int64_t messages = totals.messages - last_.messages;
  const int64_t message_bytes = totals.message_bytes - last_.message_bytes;
  const int64_t sent = totals.sent - last_.sent;
  const int64_t bytes = totals.received_bytes - last_.received_bytes -
                        message_bytes * 9 / 8 - messages * kBytesOfMessage -
                        sent * kBytesOfSent - calls * kBytesOfCall;
  const uint32_t received = totals.received_segments - last_.received_segments;
  const int64_t segments =
      received - messages * kSegmentsOfMessage - sent * kSegmentsOfSent -
      message_bytes / kBytesOfSegment - calls * kSegmentsOfCall;
  SetCarrying(now, totals.carrying);
  // Each bucket is filled, whatever the others say.
  const bool too_many_cancelled =
      cancelled_.Add(totals.cancelled - last_.cancelled,
                     leaked(kCancelledPerSecond), kMostCancelled);
  const bool too_many_bytes =
      bytes_.Add(bytes, leaked(kBytesPerSecond),
                 kMostBytes + carrying_ * kBytesOfCarrying);
  const bool too_many_segments =
      segments_.Add(segments, leaked(kSegmentsPerSecond),
                    kMostSegments + carrying_ * kSegmentsOfCarrying);
  last_look_ = now;
  last_ = totals;
  // All connections that were carried at a time may have ended at once.
  const int of_connections =
      OfConnections(totals.carrying, totals.unjoined, totals.expected) +
      std::min(totals.ended, totals.most_of_connections);
  if (TooManyCalls(totals.in_flight, of_connections,
                   totals.answered - totals.unjoined - totals.ended)) {
    return Excess::kCalls;
  }
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
