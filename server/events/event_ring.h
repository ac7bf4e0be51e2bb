// EventRing: the bytes of the newest events, in order.
#ifndef PORTREEVE_SERVER_EVENTS_EVENT_RING_H_
#define PORTREEVE_SERVER_EVENTS_EVENT_RING_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "portreeve/v1/event.pb.h"
#include "server/events/lost_events.h"

namespace portreeve::server {

// The name of a listener, "listeners/ID", which everything that belongs to the
// listener shares; null where there is no listener.
using SharedName = std::shared_ptr<const std::string>;

// What the bytes of an event are.
enum class EventForm : uint8_t {
  kEncoded,  // What is sent: server/events/event_encoding.h.
  kPacked,   // A connection, packed: server/events/connection_record.h.
};

// Numbers events from 1 on, and keeps the newest `capacity` of them, kChunk
// together in one buffer that is as large as they are: an event costs its
// bytes and 8 more.  The memory grows with the events until the ring is full,
// and is used again from then on.  Where large events would take more than
// `max_bytes` of it, the oldest chunks go early; the newest event stays,
// whatever its size.
//
// Threads: one, but capacity(): any.
class EventRing {
 public:
  static constexpr int64_t kChunk = 256;

  // What is not kept.
  struct Lost {
    LostEvents events;  // As far as they are noted.
    int64_t noted = 0;  // The last of these.
    int64_t first = 1;  // The first that is kept.
  };

  // `capacity` >= 1.
  EventRing(int64_t capacity, size_t max_bytes)
      : EventRing(capacity, max_bytes, Lost()) {}
  // Makes one that goes on from another one, whose `lost` it is.  Restore() has
  // to be called for each of that one's place()s, in order, and then
  // EndRestore().
  EventRing(int64_t capacity, size_t max_bytes, Lost lost);
  EventRing(const EventRing&) = delete;
  EventRing& operator=(const EventRing&) = delete;

  // Adds an event, in place of the oldest one if the ring is full, or of the
  // oldest ones if it holds too many bytes.  Throws std::bad_alloc where there
  // is no memory for it; then there is no such event, and the others are kept.
  void Add(v1::EventKind kind, EventForm form, const SharedName& listener,
           absl::string_view bytes);

  // Adds an event, however many bytes that makes.
  void Restore(v1::EventKind kind, EventForm form, const SharedName& listener,
               absl::string_view bytes);
  // Has the oldest ones go where there are too many bytes.  It must have one
  // that is kept.
  void EndRestore() noexcept;

  int64_t capacity() const { return capacity_; }
  size_t max_bytes() const { return max_bytes_; }
  // Gives the number of the newest event; 0 before the first.
  int64_t last() const { return last_; }
  // Gives the number of the oldest event that is kept; last() + 1 if there is
  // none.  It never becomes less.
  int64_t first() const { return std::max(first_, last_ - capacity_ + 1); }

  struct Entry {
    v1::EventKind kind;
    EventForm form;
    // "" where there is no listener.
    const std::string& listener_name;
    absl::string_view bytes;
  };
  // CHECKs that `number` is one of first() to last().  The answer holds until
  // the next Add().
  Entry at(int64_t number) const;

  // Gives the last event of which nothing is known but what lost() has.
  int64_t noted() const { return noted_; }
  const LostEvents& lost() const { return lost_; }
  // Gives one from noted() + 1 on.  One before first() has no bytes.
  Entry place(int64_t number) const;

  // Gives whether an event with a number from `first` to this->first() - 1
  // passes a filter: is one of `kinds` (none: all) and about one of `listeners`
  // (none: all, and about none).  Of listeners that have been silent for long
  // it may say so wrongly (server/events/lost_events.h), but never the
  // opposite.
  bool HasLost(int64_t first, const std::set<std::string>& listeners,
               const EventKinds& kinds) const;

  // Gives the bytes of memory that it holds for events, roughly: at most
  // `max_bytes`, unless one event has about as many.
  size_t MemoryUse() const { return memory_; }

 private:
  struct Place {
    uint32_t end = 0;  // Its bytes begin where the last one's end.
    uint8_t kind = 0;
    uint8_t listener = 0;  // The place in Chunk::listeners.
    EventForm form = EventForm::kEncoded;
  };
  struct Chunk {
    int used = 0;
    std::array<Place, kChunk> places;
    std::vector<SharedName> listeners;  // Has each once.
    size_t name_bytes = 0;              // In the names of these.
    std::string bytes;

    size_t MemoryUse() const;
  };

  void Put(v1::EventKind kind, EventForm form, const SharedName& listener,
           absl::string_view bytes);
  // Has the oldest ones go while there are too many bytes.
  void Bound();
  // Gives the chunk to which the next event goes.
  Chunk& Open();
  static uint8_t IndexOf(Chunk& chunk, const SharedName& listener);
  // Forgets the oldest chunk that is kept; of the last chunk everything but its
  // newest event.
  void ForgetOldest();
  void ForgetAllButNewest(Chunk& chunk);
  // Notes in `lost_` the events up to `last`.
  void NoteLost(int64_t last) noexcept;
  // at(), for an event that is not kept any more, too, as long as its place is.
  Entry EntryOf(int64_t number) const;
  // The chunks are numbered from 0 on.
  static int64_t ChunkOf(int64_t number) { return (number - 1) / kChunk; }
  std::unique_ptr<Chunk>& At(int64_t chunk) {
    return chunks_[static_cast<size_t>(chunk) % chunks_.size()];
  }

  const int64_t capacity_;
  const size_t max_bytes_;
  int64_t last_ = 0;
  int64_t first_ = 1;         // The first that did not go early.
  int64_t oldest_chunk_ = 0;  // The oldest that has memory.
  size_t memory_ = 0;
  // Those that are lost; but the last of them still have their places, and are
  // not noted yet.
  LostEvents lost_;
  int64_t noted_ = 0;
  // There is one more than the capacity needs, since the oldest is in use in
  // part.  Each is null until it is needed.
  std::vector<std::unique_ptr<Chunk>> chunks_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_EVENTS_EVENT_RING_H_
