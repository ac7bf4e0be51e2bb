#include "server/registry/retry_schedule.h"

#include <algorithm>

namespace portreeve::server {

void RetrySchedule::OnFailed(const std::string& id, bool again, TimePoint now) {
  Entry& entry = entries_[id];
  ++entry.attempts;
  entry.next.reset();
  if (!again) return;
  entry.next = After(now, entry.delay);
  entry.delay = std::min<Duration>(2 * entry.delay, kLongest);
}

void RetrySchedule::Restore(const std::string& id, int attempts,
                            std::optional<TimePoint> next) {
  Entry& entry = entries_[id];
  entry.attempts = attempts;
  // The delay of a later attempt is the longest one.
  constexpr int kAttemptsBefore = 5;
  entry.delay = kFirst;
  for (int i = 0; i < std::min(attempts, kAttemptsBefore); ++i) {
    entry.delay = std::min<Duration>(2 * entry.delay, kLongest);
  }
  entry.next = next;
}

int RetrySchedule::attempts(const std::string& id) const {
  const auto found = entries_.find(id);
  return found == entries_.end() ? 0 : found->second.attempts;
}

std::optional<TimePoint> RetrySchedule::next(const std::string& id) const {
  const auto found = entries_.find(id);
  return found == entries_.end() ? std::nullopt : found->second.next;
}

std::optional<TimePoint> RetrySchedule::earliest() const {
  std::optional<TimePoint> earliest;
  for (const auto& [id, entry] : entries_) {
    if (entry.next && (!earliest || *entry.next < *earliest)) {
      earliest = entry.next;
    }
  }
  return earliest;
}

std::vector<std::string> RetrySchedule::Due(TimePoint now) const {
  std::vector<std::string> due;
  for (const auto& [id, entry] : entries_) {
    if (entry.next && *entry.next <= now) due.push_back(id);
  }
  return due;
}

std::vector<std::string> RetrySchedule::All() const {
  std::vector<std::string> all;
  for (const auto& [id, entry] : entries_) all.push_back(id);
  return all;
}

}  // namespace portreeve::server
