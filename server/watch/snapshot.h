// The initial snapshot of a watch: what there is, as events
// (proto/portreeve/v1/event.proto).
#ifndef PORTREEVE_SERVER_WATCH_SNAPSHOT_H_
#define PORTREEVE_SERVER_WATCH_SNAPSHOT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/btree_map.h"
#include "absl/strings/string_view.h"
#include "server/events/event_log.h"
#include "server/events/event_ring.h"
#include "server/registry/connection_table.h"
#include "server/registry/listener_resource.h"
#include "server/registry/registry.h"
#include "server/watch/watch_filter.h"

namespace portreeve::server {

// A message of events has no more bytes than this, unless one event is larger.
inline constexpr size_t kMaxEventMessageBytes = 256 * 1024;

// What a snapshot is of, beside the filter.
enum class SnapshotOf { kListenersAndConnections, kListeners, kNothing };

// Is taken in steps of the loop, and is of one revision all the same, that of
// the last step: what events tell of meanwhile, about what was looked at
// before, is looked at again.  What no event tells of, like the bytes of a
// connection that is open, is as it was when its turn came.
//
// Then it gives listener_created for every listener that is remembered and
// connection_accepted for every live connection, each in the order of names, as
// far as they are asked for and pass the filter; then snapshot_done.  All have
// revision().
//
// Threads: loop thread only.
// Lifetime: what it is made of outlives it.
class Snapshot {
 public:
  // The most that one step looks at, beside what has happened since the last
  // one.
  struct StepSize {
    int listeners = 500;
    int connections = 2000;
  };

  Snapshot(const Registry& registry, const EventLog& log,
           const WatchFilter& filter, SnapshotOf what, StepSize step_size)
      : registry_(registry),
        log_(log),
        filter_(filter),
        what_(what),
        step_size_(step_size),
        seen_(log.last_revision()) {}
  Snapshot(const Registry& registry, const EventLog& log,
           const WatchFilter& filter, SnapshotOf what)
      : Snapshot(registry, log, filter, what, StepSize()) {}
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  // Looks at what comes next; it is not complete yet.  Gives whether it is
  // complete now.  Where there is no memory it throws, and may be called again.
  bool Step();
  bool is_complete() const { return is_complete_; }

  // What follows is of one that is complete.

  // What comes after revision() is what happens after the last step.
  int64_t revision() const { return seen_; }

  // Gives the next message, an encoded WatchEventsResponse; there is one.
  // Where there is no memory it throws, and may be called again.
  std::string TakeMessage();
  // Whether all messages were taken; there is one at least.
  bool empty() const { return is_done_; }
  // Gives the bytes of memory that it holds for what was not taken, roughly.
  size_t bytes() const { return bytes_; }

 private:
  // A connection, packed (server/events/connection_record.h).
  struct Packed {
    SharedName listener;
    std::string bytes;
  };

  // Looks again at what the log tells of.
  void FollowLog();
  void LookAgain(int64_t connection);
  void LookAgain(absl::string_view listener_name);
  bool StepListeners(int most);
  bool StepConnections(int most);
  void PutListener(const std::string& id, const ListenerResource& listener);
  void RemoveListener(const std::string& id);
  void PutConnection(int64_t id, const LiveConnection& live);
  void RemoveConnection(int64_t id);
  void Clear();

  const Registry& registry_;
  const EventLog& log_;
  const WatchFilter& filter_;
  const SnapshotOf what_;
  const StepSize step_size_;

  int64_t seen_;  // The last revision that was followed.
  // The last ones that were looked at; "" and 0 before the first.
  std::string last_listener_;
  int64_t last_connection_ = 0;
  bool is_complete_ = false;
  bool is_done_ = false;
  int64_t time_ = 0;  // Of the last step: nanoseconds since 1970.

  // Encoded v1::Listeners, by id.
  absl::btree_map<std::string, std::string> listeners_;
  absl::btree_map<int64_t, Packed> connections_;
  size_t bytes_ = 0;  // Of both.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_WATCH_SNAPSHOT_H_
