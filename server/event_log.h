// EventLog: what happened, in one order (API.md "Events").
#ifndef PORTREEVE_SERVER_EVENT_LOG_H_
#define PORTREEVE_SERVER_EVENT_LOG_H_

#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <vector>

#include "portreeve/v1/event.pb.h"

namespace portreeve::server {

// Keeps the newest events in a ring, each encoded once for all who watch.  A
// watcher is a position in the ring, so that one which does not read costs
// nothing, and is told what it missed once it reads again.
//
// Threads: loop thread only; instance_id() and capacity(): any.
class EventLog {
 public:
  // How many events are kept.
  static constexpr int64_t kCapacity = 100'000;

  explicit EventLog(int64_t capacity = kCapacity);
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  // Gives `event`, of which only `kind` is set, the next revision, the
  // instance id and the present time, and tells the subscribers.
  // `listener_name`: "listeners/ID" of the listener that it is about; empty for
  // dialled connections.
  void Append(v1::Event event, const std::string& listener_name);

  // Of the newest event; 0 before the first.
  int64_t last_revision() const { return last_revision_; }
  // Of the oldest event that is kept; last_revision() + 1 if there is none.
  int64_t first_revision() const;

  // A UUID of its own for each EventLog: the start of the daemon.
  const std::string& instance_id() const { return instance_id_; }
  int64_t capacity() const { return static_cast<int64_t>(ring_.size()); }

  struct Entry {
    v1::EventKind kind = v1::EVENT_KIND_UNSPECIFIED;
    std::string listener_name;
    // As an element of WatchEventsResponse.events: tag, length, event.
    std::string encoded;
  };
  // `revision` is one of first_revision() to last_revision().
  const Entry& at(int64_t revision) const;

  // `event`, of which only `kind` is set, as one of `revision` and of the
  // present time; it is not in the log.
  Entry Stamp(v1::Event event, int64_t revision) const;

  // The gap [first, last], stamped with `last`.
  Entry MakeGap(int64_t first, int64_t last) const;

  // Calls `on_append` within each Append(), from now until it is destroyed.  It
  // must neither append nor (un)subscribe.
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
  // How many an Append() calls.
  size_t num_subscribers() const { return subscribers_.size(); }

 private:
  Entry& slot(int64_t revision);

  const std::string instance_id_;
  std::vector<Entry> ring_;  // Revision r is at (r - 1) % its size.
  int64_t last_revision_ = 0;
  std::list<std::function<void()>> subscribers_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_EVENT_LOG_H_
