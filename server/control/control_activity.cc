#include "server/control/control_activity.h"

#include <algorithm>

namespace portreeve::server {
namespace {

int64_t Beyond(int64_t free, int64_t count) {
  return std::max<int64_t>(count - free, 0);
}

int64_t Waiting(const FloodPolicy::Totals& totals) {
  return totals.in_flight - totals.carrying - totals.answered;
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

int64_t ControlActivity::Unexplained(const FloodPolicy::Totals& totals) {
  return totals.received_bytes - totals.message_bytes -
         totals.messages * kBytesOfMessage - totals.begun * kBytesOfCall -
         totals.sent * kBytesOfSent;
}

const ControlActivity::Mark& ControlActivity::From(TimePoint now) const {
  if (now - marked_ < kMarkInterval) return older_;
  return now - marked_ < 2 * kMarkInterval ? newer_ : now_;
}

int64_t ControlActivity::Sent(TimePoint now,
                              const FloodPolicy::Totals& totals) const {
  const Mark& mark = From(now);
  const int64_t bytes = Unexplained(totals) - Unexplained(mark.totals);
  int64_t unread = totals.unread_bytes;
  if (&mark != &now_) unread = std::max(unread, now_.unread);
  if (&mark == &older_) unread = std::max(unread, newer_.unread);
  return Beyond(kFreeBytes, std::max(bytes, unread)) +
         Beyond(kFreeArrivals, now_.arrivals - mark.arrivals) *
             kWeightOfArrival;
}

int64_t ControlActivity::Level(TimePoint now,
                               const FloodPolicy::Totals& totals) const {
  const int64_t begun = totals.begun - From(now).totals.begun;
  return Level(now, totals, std::min(Waiting(totals), begun));
}

int64_t ControlActivity::Held(TimePoint now,
                              const FloodPolicy::Totals& totals) const {
  return Level(now, totals, Waiting(totals));
}

int64_t ControlActivity::Level(TimePoint now, const FloodPolicy::Totals& totals,
                               int64_t waiting) const {
  const int64_t cancelled = totals.cancelled - From(now).totals.cancelled;
  return Sent(now, totals) + Beyond(kFreeWaiting, waiting) * kWeightOfWaiting +
         Beyond(kFreeAnswered, totals.answered) * kWeightOfAnswered +
         Beyond(kFreeCancelled, cancelled) * kWeightOfCancelled;
}

int ControlActivity::Carried(TimePoint now, int carrying) const {
  const Mark& mark = From(now);
  if (&mark == &now_) return carrying;
  carrying = std::max(carrying, newer_.totals.carrying);
  return &mark == &older_ ? std::max(carrying, older_.totals.carrying)
                          : carrying;
}

}  // namespace portreeve::server
