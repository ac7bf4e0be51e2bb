// FilteredEvents: the events that pass one filter, encoded once for all who
// watch with it.
#ifndef PORTREEVE_SERVER_WATCH_FILTERED_EVENTS_H_
#define PORTREEVE_SERVER_WATCH_FILTERED_EVENTS_H_

#include <grpcpp/support/slice.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "server/events/event_log.h"
#include "server/watch/watch_filter.h"

namespace portreeve::server {

// Threads: loop thread only, but for the bytes of a batch, which any may read.
class FilteredEvents {
 public:
  // One batch is taken from so many events at most.
  static constexpr int64_t kMaxScan = 4096;

  // Revisions first to end - 1, as far as they pass the filter, encoded; the
  // bytes are shared.  They are fewer than kMaxEventMessageBytes unless one
  // event is larger; there may be none.
  struct Batch {
    int64_t first = 0;
    int64_t end = 0;
    int64_t lost = 0;  // The count of the gap at its front; 0: none.
    grpc::Slice bytes;
  };

  // `log` outlives it.
  FilteredEvents(const EventLog& log, WatchFilter filter);

  const WatchFilter& filter() const { return filter_; }

  // Gives a batch that begins with `first`, which is at most the log's last
  // revision.  What the log has dropped is a gap at its front.  A batch does
  // not always go as far as the log does: ask again with its end.
  const Batch& From(int64_t first);

  // How many bytes are kept for those who ask next.
  size_t kept_bytes() const { return kept_bytes_; }

 private:
  // Those who ask together ask for the last one; whoever was still busy when
  // that was made asks for it a little later.
  static constexpr size_t kMaxKept = 8;

  Batch Make(int64_t first) const;

  const EventLog& log_;
  const WatchFilter filter_;
  std::deque<Batch> kept_;  // The newest last; none begin alike.
  size_t kept_bytes_ = 0;
};

// Keeps one FilteredEvents for each filter that somebody has.
// Threads: loop thread only.
class EventFilters {
 public:
  // `log` outlives what it gives.
  explicit EventFilters(const EventLog& log) : log_(log) {}

  std::shared_ptr<FilteredEvents> Of(const WatchFilter& filter);

 private:
  const EventLog& log_;
  std::vector<std::weak_ptr<FilteredEvents>> filters_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_WATCH_FILTERED_EVENTS_H_
