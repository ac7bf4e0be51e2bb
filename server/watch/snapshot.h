// The initial snapshot of a watch: what there is, as events
// (proto/portreeve/v1/event.proto).
#ifndef PORTREEVE_SERVER_WATCH_SNAPSHOT_H_
#define PORTREEVE_SERVER_WATCH_SNAPSHOT_H_

#include <deque>
#include <string>

namespace portreeve::server {

class EventLog;
class Registry;
struct WatchFilter;

// Encoded WatchEventsResponses, in order; none is empty.
using EventMessages = std::deque<std::string>;

// A message of events has no more bytes than this, unless one event is larger.
inline constexpr size_t kMaxEventMessageBytes = 256 * 1024;

// What a snapshot is of.  Connections may be a thousand times as many as
// listeners, and are looked at in one step of the loop.
enum class SnapshotOf { kListenersAndConnections, kListeners, kNothing };

// Gives listener_created for every listener that is remembered and
// connection_accepted for every live connection, each in the order of names,
// as far as `what` has them and they pass the filter; then snapshot_done.  All
// have the last revision of `log`: what follows in it is what happens after
// this call.
//
// Threads: loop thread only.
EventMessages TakeSnapshot(const Registry& registry, const EventLog& log,
                           const WatchFilter& filter, SnapshotOf what);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_WATCH_SNAPSHOT_H_
