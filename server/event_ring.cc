#include "server/event_ring.h"

#include <limits>

#include "lib/check.h"

namespace portreeve::server {

static_assert(EventRing::kChunk - 1 <= std::numeric_limits<uint8_t>::max());
static_assert(v1::EventKind_ARRAYSIZE <= std::numeric_limits<uint8_t>::max());

EventRing::EventRing(int64_t capacity) : capacity_(capacity) {
  PORTREEVE_CHECK(capacity >= 1);
  chunks_.resize(static_cast<size_t>((capacity + kChunk - 1) / kChunk + 1));
}

void EventRing::Add(v1::EventKind kind, EventForm form,
                    const SharedName& listener, absl::string_view bytes) {
  Chunk& chunk = Open();
  chunk.bytes.append(bytes.data(), bytes.size());
  PORTREEVE_CHECK(chunk.bytes.size() <= std::numeric_limits<uint32_t>::max());
  Place& place = chunk.places[static_cast<size_t>(chunk.used++)];
  place.end = static_cast<uint32_t>(chunk.bytes.size());
  place.kind = static_cast<uint8_t>(kind);
  place.listener = IndexOf(chunk, listener);
  place.form = form;
  ++last_;
  if (chunk.used == kChunk) chunk.bytes.shrink_to_fit();
}

EventRing::Chunk& EventRing::Open() {
  std::unique_ptr<Chunk>& chunk = chunks_[SlotOf(last_ + 1)];
  if (!chunk) chunk = std::make_unique<Chunk>();
  if (last_ % kChunk == 0) {  // What it had is older than what is kept.
    chunk->used = 0;
    chunk->listeners.clear();
    chunk->bytes.clear();
  }
  return *chunk;
}

uint8_t EventRing::IndexOf(Chunk& chunk, const SharedName& listener) {
  auto& listeners = chunk.listeners;
  // The one of the last event first.  Names of a deleted listener and of a new
  // one with its id are different pointers.
  for (size_t i = listeners.size(); i-- > 0;) {
    if (listeners[i] == listener) return static_cast<uint8_t>(i);
  }
  listeners.push_back(listener);
  return static_cast<uint8_t>(listeners.size() - 1);
}

EventRing::Entry EventRing::at(int64_t number) const {
  PORTREEVE_CHECK(number >= first() && number <= last_);
  static const std::string* const kNone = new std::string();
  const Chunk& chunk = *chunks_[SlotOf(number)];
  const auto index = static_cast<size_t>((number - 1) % kChunk);
  const Place& place = chunk.places[index];
  const size_t begin = index == 0 ? 0 : chunk.places[index - 1].end;
  const SharedName& listener = chunk.listeners[place.listener];
  return Entry{
      static_cast<v1::EventKind>(place.kind), place.form,
      listener ? *listener : *kNone,
      absl::string_view(chunk.bytes.data() + begin, place.end - begin)};
}

size_t EventRing::MemoryUse() const {
  size_t size = chunks_.capacity() * sizeof(chunks_[0]);
  for (const auto& chunk : chunks_) {
    if (!chunk) continue;
    size += sizeof(Chunk) + chunk->bytes.capacity() +
            chunk->listeners.capacity() * sizeof(SharedName);
  }
  return size;
}

}  // namespace portreeve::server
