// What stands behind the "?" of a request.
#ifndef PORTREEVE_SERVER_LIVE_LIVE_QUERY_H_
#define PORTREEVE_SERVER_LIVE_LIVE_QUERY_H_

#include <optional>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "portreeve/v1/connection.pb.h"
#include "portreeve/v1/listener.pb.h"
#include "server/http/http_message.h"
#include "server/watch/snapshot.h"
#include "server/watch/watch_filter.h"

namespace portreeve::server {

// What nobody has asked for by these names is ignored.  The error of all is
// INVALID_FIELD, whose field is the name in the query.

// Gives the names, "listeners/ID", of each `listener=ID`; none: all.
absl::StatusOr<std::set<std::string>> ListenersOf(const HttpRequest& request);

// Which events a client wants, and where they begin.
struct EventQuery {
  WatchFilter filter;
  SnapshotOf snapshot = SnapshotOf::kListenersAndConnections;  // If any.
  // The id of the last event that the client has, in any bytes.
  std::optional<std::string> last_id;
};

// Of each `listener=ID` and `kind=NAME`, the name of a v1::EventKind, with or
// without EVENT_KIND_, in letters of any size; of `snapshot=all`, `listeners`
// or `none`; and of `last_event_id=ID`, which the header of that name
// overrides: a browser that resumes asks for the same again, and has read on.
absl::StatusOr<EventQuery> EventQueryOf(const HttpRequest& request);

// Of `page_size=N` and `page_token=T`, once at most, and `listener=ID` for
// connections.
absl::StatusOr<v1::ListListenersRequest> ListenerPageOf(
    const HttpRequest& request);
absl::StatusOr<v1::ListConnectionsRequest> ConnectionPageOf(
    const HttpRequest& request);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_LIVE_LIVE_QUERY_H_
