// EventRing: the bytes of the newest events, in order.
#ifndef PORTREEVE_SERVER_EVENT_RING_H_
#define PORTREEVE_SERVER_EVENT_RING_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "portreeve/v1/event.pb.h"

namespace portreeve::server {

// The name of a listener, "listeners/ID", which all that is of it shares; null
// where there is no listener.
using SharedName = std::shared_ptr<const std::string>;

// What the bytes of an event are.
enum class EventForm : uint8_t {
  kEncoded,  // What is sent: server/event_encoding.h.
  kPacked,   // A connection, packed: server/connection_record.h.
};

// Numbers events from 1 on, and keeps the newest `capacity` of them, kChunk
// together in one buffer that is as large as they are: an event costs its
// bytes and 8 more.  The memory grows with the events until the ring is full,
// and is used again from then on.
//
// Threads: one, but capacity(): any.
class EventRing {
 public:
  static constexpr int64_t kChunk = 256;

  // `capacity` >= 1.
  explicit EventRing(int64_t capacity);

  // Adds an event, in place of the oldest one if the ring is full.
  void Add(v1::EventKind kind, EventForm form, const SharedName& listener,
           absl::string_view bytes);

  int64_t capacity() const { return capacity_; }
  // Of the newest event; 0 before the first.
  int64_t last() const { return last_; }
  // Of the oldest event that is kept; last() + 1 if there is none.
  int64_t first() const {
    return last_ <= capacity_ ? 1 : last_ - capacity_ + 1;
  }

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

  // The bytes of memory that it holds, roughly.
  size_t MemoryUse() const;

 private:
  struct Place {
    uint32_t end = 0;  // Of its bytes; they begin where the last one's end.
    uint8_t kind = 0;
    uint8_t listener = 0;  // In Chunk::listeners.
    EventForm form = EventForm::kEncoded;
  };
  struct Chunk {
    int used = 0;
    std::array<Place, kChunk> places;
    std::vector<SharedName> listeners;  // Each once.
    std::string bytes;
  };

  // The chunk that the next event goes to.
  Chunk& Open();
  static uint8_t IndexOf(Chunk& chunk, const SharedName& listener);
  size_t SlotOf(int64_t number) const {
    return static_cast<size_t>((number - 1) / kChunk) % chunks_.size();
  }

  const int64_t capacity_;
  int64_t last_ = 0;
  // One more than the capacity needs, since the oldest is in use in part; null
  // until it is needed.
  std::vector<std::unique_ptr<Chunk>> chunks_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_EVENT_RING_H_
