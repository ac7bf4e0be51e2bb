// EventLog: what happened, in one order (proto/portreeve/v1/event.proto).
#ifndef PORTREEVE_SERVER_EVENTS_EVENT_LOG_H_
#define PORTREEVE_SERVER_EVENTS_EVENT_LOG_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "portreeve/v1/event.pb.h"
#include "server/events/connection_record.h"
#include "server/events/event_ring.h"
#include "server/events/listener_record.h"
#include "server/events/lost_events.h"
#include "server/events/saved_events.h"

namespace portreeve::server {

// Keeps the newest events in a ring.  A watcher is a position in it, so that
// one which does not read costs nothing, and learns what it missed once it
// reads again.
//
// The events of connections, which come by the ten thousand a second, are kept
// packed, as they were when they happened, and encoded when somebody wants
// them; the others are encoded at once, those of listeners without a message in
// between.
//
// Threads: loop thread only; instance_id() and capacity(): any.
class EventLog {
 public:
  // How many events are kept.
  static constexpr int64_t kCapacity = 100'000;
  // How much memory they may take; what is too much goes early.
  static constexpr size_t kMaxBytes = size_t{128} << 20;

  explicit EventLog(int64_t capacity = kCapacity, size_t max_bytes = kMaxBytes);
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  // Writes all that the log is to a file in memory, from which the daemon's
  // next process goes on.  Whoever goes on to watch there, with the instance id
  // and a revision of here, misses nothing and sees nothing twice. Errors:
  // those of SaveEvents(); RESOURCE_EXHAUSTED where there is no memory.
  absl::StatusOr<Descriptor> Save() const;
  // Goes on from the log that has saved `file`: has its identity, its events
  // and totals, and its numbers.  There must be no event yet, and no other
  // thread that asks for instance_id(). Errors: those of LoadEvents();
  // RESOURCE_EXHAUSTED where there is no memory. Then nothing has changed.
  absl::Status Load(const Descriptor& file);

  // Appends `event`, of which only `kind` is set, with the next revision, the
  // instance id and the present time, and calls the subscribers.
  // `listener_name` is "listeners/ID" of the listener that it is about; empty
  // for dialled connections.
  void Append(v1::Event event, const std::string& listener_name);

  // Does the same for an event of a listener whose message has the listener and
  // nothing else (listener_created, listener_restored): it is as `record` says.
  void AppendListener(v1::EventKind kind, const ListenerRecord& record,
                      const SharedName& listener);

  // Does the same for an event of a connection: connection_accepted, _closed or
  // _dropped.  The time of the event is that of the record's close, or of its
  // creation where it has none.  `listener` is null for a dialled connection.
  void AppendConnection(v1::EventKind kind, const ConnectionRecord& record,
                        const SharedName& listener);

  // Gives the revision of the newest event; 0 before the first.
  int64_t last_revision() const { return ring_->last(); }
  // Gives how many events of a kind there were, in all.
  int64_t total(v1::EventKind kind) const {
    return totals_[static_cast<size_t>(kind)];
  }
  // Gives the revision of the oldest event that is kept; last_revision() + 1 if
  // there is none.
  int64_t first_revision() const { return ring_->first(); }

  // Gives the UUID of the numbering, by which clients tell one start of the
  // daemon from another.
  const std::string& instance_id() const { return instance_id_; }
  int64_t capacity() const { return ring_->capacity(); }
  // Gives the bytes of memory that the events take.
  size_t MemoryUse() const { return ring_->MemoryUse(); }

  // Gives an event.  `revision` is one of first_revision() to last_revision().
  EventRing::Entry at(int64_t revision) const { return ring_->at(revision); }

  // Gives whether, from revision `first` to first_revision() - 1, there was an
  // event that passes a filter (server/events/event_ring.h).
  bool HasLost(int64_t first, const std::set<std::string>& listeners,
               const EventKinds& kinds) const {
    return ring_->HasLost(first, listeners, kinds);
  }

  // Adds at(revision) to `message`, as an element of
  // WatchEventsResponse.events: tag, length, event.
  void AppendTo(std::string& message, int64_t revision) const;

  // Gives `event`, of which only `kind` is set, with `revision` and the present
  // time, encoded as AppendTo() does; it is not in the log.
  std::string Stamp(v1::Event event, int64_t revision) const;

  // Gives the event that says that [first, last] are missing, with the revision
  // `last`.
  std::string MakeGap(int64_t first, int64_t last) const;

  // Gives the event that says that the watcher has all up to `revision` behind
  // it.
  std::string MakeProgress(int64_t revision) const;

  // Calls `on_append` within each append, from now until the Subscription is
  // destroyed.  `on_append` must neither append nor subscribe nor unsubscribe.
  class Subscription {
   public:
    Subscription(EventLog& log, std::function<void()> on_append);
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    ~Subscription();

   private:
    EventLog& log_;
    std::list<std::function<void()>>::iterator position_;
  };
  // Gives how many subscribers an append calls.
  size_t num_subscribers() const { return subscribers_.size(); }

 private:
  void Add(v1::EventKind kind, EventForm form, const SharedName& listener,
           absl::string_view bytes);

  // It is there before it is needed.
  const absl::Status no_memory_;
  std::string instance_id_;
  std::unique_ptr<EventRing> ring_;  // Never null.
  EventTotals totals_{};
  std::list<std::function<void()>> subscribers_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_EVENTS_EVENT_LOG_H_
