// Where a stream of events begins, by the id of the last event that its client
// has.
#ifndef PORTREEVE_SERVER_LIVE_EVENT_START_H_
#define PORTREEVE_SERVER_LIVE_EVENT_START_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace portreeve::server {

// Gives the id of an event: "INSTANCE_ID/REVISION".
std::string EventId(absl::string_view instance_id, int64_t revision);

struct EventStart {
  // The first revision of the stream, behind the snapshot if there is one.
  int64_t first = 0;
  bool has_snapshot = false;
  // Why what the client has is worth nothing, INSTANCE_CHANGED or
  // REVISION_UNKNOWN; empty where it is worth something, or the client has
  // nothing.
  std::string restart;

  bool operator==(const EventStart&) const = default;
};

// `last_id` is what the client has, in any bytes; `instance_id` and
// `last_revision` are those of the log.
EventStart StartOf(const std::optional<std::string>& last_id,
                   absl::string_view instance_id, int64_t last_revision);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_LIVE_EVENT_START_H_
