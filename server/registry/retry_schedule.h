// RetrySchedule: when what could not be opened is tried again.
#ifndef PORTREEVE_SERVER_REGISTRY_RETRY_SCHEDULE_H_
#define PORTREEVE_SERVER_REGISTRY_RETRY_SCHEDULE_H_

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "lib/base/time_source.h"

namespace portreeve::server {

// Each that fails by itself is tried 1, 2, 4, 8, 16 s after the attempt before,
// and 30 s from then on.  It has no clock and no timer.
class RetrySchedule {
 public:
  static constexpr std::chrono::seconds kFirst{1};
  static constexpr std::chrono::seconds kLongest{30};

  // An attempt has failed.  Without `again` it is not tried by itself.
  void OnFailed(const std::string& id, bool again, TimePoint now);
  // It is open, or not wanted any more.
  void Remove(const std::string& id) { entries_.erase(id); }

  // It has failed `attempts` >= 1 times in another process, and is tried again
  // at `next`, as it would be there.
  void Restore(const std::string& id, int attempts,
               std::optional<TimePoint> next);

  // Gives how often it was tried; 0 if it has not failed.
  int attempts(const std::string& id) const;
  // Gives when it is tried again; nullopt where it is not by itself.
  std::optional<TimePoint> next(const std::string& id) const;
  // Gives when the first of all is tried again.
  std::optional<TimePoint> earliest() const;

  // Gives those whose time has come; each is then to be tried.
  std::vector<std::string> Due(TimePoint now) const;
  // Gives all that have failed.
  std::vector<std::string> All() const;
  bool empty() const { return entries_.empty(); }
  int size() const { return static_cast<int>(entries_.size()); }

 private:
  struct Entry {
    int attempts = 0;
    Duration delay = kFirst;  // After the next failure.
    std::optional<TimePoint> next;
  };
  absl::btree_map<std::string, Entry> entries_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_RETRY_SCHEDULE_H_
