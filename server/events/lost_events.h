// LostEvents: which kinds of events, about which listeners, are not kept any
// more.
#ifndef PORTREEVE_SERVER_EVENTS_LOST_EVENTS_H_
#define PORTREEVE_SERVER_EVENTS_LOST_EVENTS_H_

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <list>
#include <set>
#include <string>
#include <unordered_map>

#include "absl/strings/string_view.h"
#include "portreeve/v1/event.pb.h"

namespace portreeve::server {

// A set of kinds.
using EventKinds = std::bitset<v1::EventKind_ARRAYSIZE>;

// Remembers of the events that are lost the last revision of each kind about
// each listener, so that a watcher with a filter is told of a gap only where it
// has missed something.  Of the kMaxListeners listeners whose events were lost
// last it knows that; of others, which have been silent for longer, it knows
// only what it knows of the kinds: then it says of some events that were of
// another listener that they might have been of this one.
//
// Threads: one.
class LostEvents {
 public:
  // They take 2 MiB at most.
  static constexpr size_t kMaxListeners = 4096;

  // The last revision of each kind; 0: none.
  using Revisions = std::array<int64_t, v1::EventKind_ARRAYSIZE>;
  // What is known of a listener.
  struct Listener {
    std::string name;
    Revisions last = {};
    int64_t newest = 0;  // Of these.
  };

  explicit LostEvents(size_t max_listeners = kMaxListeners)
      : max_listeners_(max_listeners) {}

  // Makes one that goes on from another, which has these; then
  // RestoreListener() has to be called for each of its listeners(), in their
  // order.
  LostEvents(const Revisions& last, int64_t forgotten,
             size_t max_listeners = kMaxListeners)
      : max_listeners_(max_listeners), last_(last), forgotten_(forgotten) {}
  LostEvents(LostEvents&&) = default;
  LostEvents& operator=(LostEvents&&) = delete;
  // Gives false, and does nothing, where there is a listener of that name, or
  // none of its events was lost after those of the one before.
  bool RestoreListener(absl::string_view name, const Revisions& last);

  // Notes that an event is lost; call it in the order of the revisions.
  // `listener` is "" where the event is about none.  Where there is no memory
  // for the listener it is as if it had been silent for long.
  void Add(int64_t revision, v1::EventKind kind,
           const std::string& listener) noexcept;

  // Gives whether an event was lost, from revision `first` on, that is one of
  // `kinds` (none: all) and about one of `listeners` (none: all, and about
  // none).  It never gives false where there was one.
  bool Has(int64_t first, const std::set<std::string>& listeners,
           const EventKinds& kinds) const;

  using Listeners = std::list<Listener>;
  // These are what it knows.
  const Revisions& last() const { return last_; }
  const Listeners& listeners() const { return listeners_; }
  int64_t forgotten() const { return forgotten_; }

 private:
  static bool Has(int64_t first, const Revisions& last,
                  const EventKinds& kinds);
  void AddTo(int64_t revision, v1::EventKind kind, const std::string& listener);
  // Forgets the listener that has been silent for longest, if it is one too
  // many.
  void Bound();

  const size_t max_listeners_;
  Revisions last_ = {};
  // The one whose event was lost last is at the end.
  Listeners listeners_;
  std::unordered_map<std::string, Listeners::iterator> by_name_;
  // Up to here it may have forgotten of which listener an event was.
  int64_t forgotten_ = 0;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_EVENTS_LOST_EVENTS_H_
