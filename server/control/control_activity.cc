#include "server/control/control_activity.h"

#include <algorithm>

namespace portreeve::server {
namespace {

int64_t Beyond(int64_t free, int64_t count) {
  return std::max<int64_t>(count - free, 0);
}

}  // namespace

bool ControlActivity::Look(TimePoint now, const FloodPolicy::Totals& totals,
                           bool arrived) {
  const FloodPolicy::Totals& seen = now_.totals;
  const bool is_new =
      totals.unread_bytes > 0 || totals.received_bytes != seen.received_bytes ||
      totals.begun != seen.begun || totals.messages != seen.messages;
  if (arrived && !is_new && totals.sent == seen.sent) ++now_.arrivals;
  now_.totals = totals;
  now_.unread = std::max(now_.unread, totals.unread_bytes);
  if (now - marked_ >= kMarkInterval) {
    marked_ = now;
    older_ = newer_;
    newer_ = now_;
    now_.unread = 0;
  }
  return is_new;
}

bool ControlActivity::IsQuiet(const FloodPolicy::Totals& totals) const {
  constexpr int64_t kLittle = 1 << 10;
  const FloodPolicy::Totals& seen = now_.totals;
  return totals.received_bytes - seen.received_bytes < kLittle &&
         totals.begun == seen.begun && totals.messages == seen.messages;
}

int64_t ControlActivity::Level(const FloodPolicy::Totals& totals) const {
  const FloodPolicy::Totals& from = older_.totals;
  const int64_t bytes = totals.received_bytes - from.received_bytes -
                        (totals.message_bytes - from.message_bytes) -
                        (totals.messages - from.messages) * kBytesOfMessage -
                        (totals.begun - from.begun) * kBytesOfCall -
                        (totals.sent - from.sent) * kBytesOfSent;
  const int64_t unread =
      std::max({totals.unread_bytes, now_.unread, newer_.unread});
  const int64_t waiting = totals.in_flight - totals.carrying - totals.answered;
  return Beyond(kFreeBytes, std::max(bytes, unread)) +
         Beyond(kFreeWaiting, waiting) * kWeightOfWaiting +
         Beyond(kFreeAnswered, totals.answered) * kWeightOfAnswered +
         Beyond(kFreeCancelled, totals.cancelled - from.cancelled) *
             kWeightOfCancelled +
         Beyond(kFreeArrivals, now_.arrivals - older_.arrivals) *
             kWeightOfArrival;
}

int ControlActivity::carried(int carrying) const {
  return std::max({carrying, newer_.totals.carrying, older_.totals.carrying});
}

}  // namespace portreeve::server
