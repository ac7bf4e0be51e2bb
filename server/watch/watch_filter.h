// WatchFilter: which events a watcher wants.
#ifndef PORTREEVE_SERVER_WATCH_WATCH_FILTER_H_
#define PORTREEVE_SERVER_WATCH_WATCH_FILTER_H_

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "portreeve/v1/event.pb.h"
#include "server/events/lost_events.h"

namespace portreeve::server {

struct WatchFilter {
  // A watch keeps the names that it was asked for.
  static constexpr int kMaxListeners = 1000;

  std::set<std::string> listeners;  // Names; empty: all, and dialled ones.
  EventKinds kinds;                 // None: all.

  // `listener_name` is that of the listener that the event is about, and empty
  // for dialled connections.
  bool Passes(v1::EventKind kind, const std::string& listener_name) const;

  bool operator==(const WatchFilter&) const = default;
};

// Errors: INVALID_FIELD of `listeners` and `kinds`.
absl::StatusOr<WatchFilter> FilterOf(const v1::WatchEventsRequest& request);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_WATCH_WATCH_FILTER_H_
