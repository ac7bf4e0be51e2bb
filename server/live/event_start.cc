#include "server/live/event_start.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace portreeve::server {

std::string EventId(absl::string_view instance_id, int64_t revision) {
  return absl::StrCat(instance_id, "/", revision);
}

EventStart StartOf(const std::optional<std::string>& last_id,
                   absl::string_view instance_id, int64_t last_revision) {
  EventStart snapshot{last_revision + 1, true, ""};
  // A browser without an id sends none, or an empty one.
  if (!last_id || last_id->empty()) return snapshot;
  absl::string_view rest = *last_id;
  if (!absl::ConsumePrefix(&rest, absl::StrCat(instance_id, "/"))) {
    snapshot.restart = "INSTANCE_CHANGED";
    return snapshot;
  }
  int64_t revision = 0;
  if (!absl::SimpleAtoi(rest, &revision) || revision < 0 ||
      revision > last_revision) {
    snapshot.restart = "REVISION_UNKNOWN";
    return snapshot;
  }
  return {revision + 1, false, ""};
}

}  // namespace portreeve::server
