#include "server/watch/filtered_events.h"

#include <algorithm>
#include <string>
#include <utility>

#include "lib/base/check.h"
#include "server/watch/snapshot.h"

namespace portreeve::server {

FilteredEvents::FilteredEvents(const EventLog& log, WatchFilter filter)
    : log_(log), filter_(std::move(filter)) {}

const FilteredEvents::Batch& FilteredEvents::From(int64_t first) {
  PORTREEVE_CHECK(first <= log_.last_revision());
  const auto it =
      std::find_if(kept_.begin(), kept_.end(),
                   [&](const Batch& batch) { return batch.first == first; });
  if (it != kept_.end()) return *it;
  kept_.push_back(Make(first));
  kept_bytes_ += kept_.back().bytes.size();
  while (kept_.size() > 1 &&
         (kept_.size() > kMaxKept || kept_bytes_ > kMaxEventMessageBytes)) {
    kept_bytes_ -= kept_.front().bytes.size();
    kept_.pop_front();
  }
  return kept_.back();
}

FilteredEvents::Batch FilteredEvents::Make(int64_t first) const {
  Batch batch{first, first, 0, grpc::Slice()};
  std::string message;
  if (first < log_.first_revision()) {
    batch.end = log_.first_revision();
    // What the filter keeps out is not missing.
    if (log_.HasLost(first, filter_.listeners, filter_.kinds)) {
      message = log_.MakeGap(first, batch.end - 1);
      batch.lost = batch.end - first;
    }
  }
  const int64_t last = std::min(log_.last_revision(), batch.end + kMaxScan - 1);
  for (; batch.end <= last; ++batch.end) {
    const EventRing::Entry entry = log_.at(batch.end);
    if (!filter_.Passes(entry.kind, entry.listener_name)) continue;
    const size_t before = message.size();
    log_.AppendTo(message, batch.end);
    if (before > 0 && message.size() > kMaxEventMessageBytes) {
      message.resize(before);
      break;
    }
  }
  // Exactly as large as it has to be: somebody may hold it for long.
  if (!message.empty()) batch.bytes = grpc::Slice(message);
  return batch;
}

std::shared_ptr<FilteredEvents> EventFilters::Of(const WatchFilter& filter) {
  std::shared_ptr<FilteredEvents> found;
  const auto end =
      std::remove_if(filters_.begin(), filters_.end(), [&](const auto& weak) {
        const std::shared_ptr<FilteredEvents> events = weak.lock();
        if (events && events->filter() == filter) found = events;
        return events == nullptr;
      });
  filters_.erase(end, filters_.end());
  if (!found) {
    found = std::make_shared<FilteredEvents>(log_, filter);
    filters_.push_back(found);
  }
  return found;
}

}  // namespace portreeve::server
