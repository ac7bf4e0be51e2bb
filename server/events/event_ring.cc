#include "server/events/event_ring.h"

#include <limits>
#include <new>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "lib/base/check.h"

namespace portreeve::server {

static_assert(EventRing::kChunk - 1 <= std::numeric_limits<uint8_t>::max());
static_assert(v1::EventKind_ARRAYSIZE <= std::numeric_limits<uint8_t>::max());

namespace {

// Gives what a name takes.  A listener keeps its name, too, but may be deleted
// before its events go.
size_t NameBytes(const SharedName& name) {
  if (!name) return 0;
  constexpr size_t kCounters = 2 * sizeof(int64_t);  // Of std::make_shared.
  return kCounters + sizeof(std::string) + name->capacity();
}

}  // namespace

EventRing::EventRing(int64_t capacity, size_t max_bytes, Lost lost)
    : capacity_(capacity),
      max_bytes_(max_bytes),
      last_(lost.noted),
      first_(lost.first),
      oldest_chunk_(ChunkOf(lost.noted + 1)),
      lost_(std::move(lost.events)),
      noted_(lost.noted) {
  PORTREEVE_CHECK(capacity >= 1);
  PORTREEVE_CHECK(0 <= noted_ && noted_ < first_);
  chunks_.resize(static_cast<size_t>((capacity + kChunk - 1) / kChunk + 1));
  memory_ = chunks_.capacity() * sizeof(chunks_[0]);
  // Nobody looks at the places before.
  if (noted_ % kChunk != 0) Open().used = static_cast<int>(noted_ % kChunk);
}

void EventRing::Add(v1::EventKind kind, EventForm form,
                    const SharedName& listener, absl::string_view bytes) {
  Put(kind, form, listener, bytes);
  Bound();
}

void EventRing::Restore(v1::EventKind kind, EventForm form,
                        const SharedName& listener, absl::string_view bytes) {
  Put(kind, form, listener, bytes);
}

void EventRing::EndRestore() noexcept {
  PORTREEVE_CHECK(first_ <= last_);
  Chunk& chunk = *At(ChunkOf(last_));
  memory_ -= chunk.MemoryUse();
  chunk.bytes.shrink_to_fit();
  memory_ += chunk.MemoryUse();
  Bound();
}

void EventRing::Put(v1::EventKind kind, EventForm form,
                    const SharedName& listener, absl::string_view bytes) {
  Chunk& chunk = Open();
  memory_ -= chunk.MemoryUse();
  const absl::Cleanup add = [&] { memory_ += chunk.MemoryUse(); };
  // First what may find no memory: then there is no such event.
  chunk.bytes.reserve(chunk.bytes.size() + bytes.size());
  const uint8_t index = IndexOf(chunk, listener);
  chunk.bytes.append(bytes.data(), bytes.size());
  PORTREEVE_CHECK(chunk.bytes.size() <= std::numeric_limits<uint32_t>::max());
  Place& place = chunk.places[static_cast<size_t>(chunk.used++)];
  place.end = static_cast<uint32_t>(chunk.bytes.size());
  place.kind = static_cast<uint8_t>(kind);
  place.listener = index;
  place.form = form;
  ++last_;
  if (chunk.used == kChunk) chunk.bytes.shrink_to_fit();
}

void EventRing::Bound() {
  try {
    while (memory_ > max_bytes_ && first_ < last_) ForgetOldest();
  } catch (const std::bad_alloc&) {
    // The next event makes them go.
  }
}

EventRing::Chunk& EventRing::Open() {
  std::unique_ptr<Chunk>& chunk = At(ChunkOf(last_ + 1));
  if (!chunk) {
    chunk = std::make_unique<Chunk>();
    memory_ += chunk->MemoryUse();
  } else if (last_ % kChunk == 0 && chunk->used > 0) {
    // Its events are too old to be kept.
    NoteLost((oldest_chunk_ + 1) * kChunk);
    memory_ -= chunk->MemoryUse();
    chunk->used = 0;
    chunk->listeners.clear();
    chunk->name_bytes = 0;
    chunk->bytes.clear();
    memory_ += chunk->MemoryUse();
    ++oldest_chunk_;
  }
  return *chunk;
}

uint8_t EventRing::IndexOf(Chunk& chunk, const SharedName& listener) {
  auto& listeners = chunk.listeners;
  // The one of the last event is looked at first.  Names of a deleted listener
  // and of a new one with its id are different pointers.
  for (size_t i = listeners.size(); i-- > 0;) {
    if (listeners[i] == listener) return static_cast<uint8_t>(i);
  }
  listeners.push_back(listener);
  chunk.name_bytes += NameBytes(listener);
  return static_cast<uint8_t>(listeners.size() - 1);
}

void EventRing::ForgetOldest() {
  const int64_t newest = ChunkOf(last_);
  std::unique_ptr<Chunk>& oldest = At(oldest_chunk_);
  if (oldest_chunk_ < newest) {
    memory_ -= oldest->MemoryUse();
    NoteLost((oldest_chunk_ + 1) * kChunk);
    oldest.reset();
    ++oldest_chunk_;
    first_ = std::max(first_, oldest_chunk_ * kChunk + 1);
  } else {
    ForgetAllButNewest(*oldest);
    first_ = last_;
  }
}

void EventRing::ForgetAllButNewest(Chunk& chunk) {
  const auto newest = static_cast<size_t>(chunk.used - 1);
  const size_t begin = newest == 0 ? 0 : chunk.places[newest - 1].end;
  Place& place = chunk.places[newest];
  // First what may find no memory: then nothing is forgotten.  Neither is
  // assigned, since that may keep the buffer.
  std::string bytes = chunk.bytes.substr(begin);
  std::vector<SharedName> listeners = {chunk.listeners[place.listener]};
  NoteLost(last_ - 1);
  memory_ -= chunk.MemoryUse();
  chunk.bytes.swap(bytes);
  chunk.listeners.swap(listeners);
  chunk.name_bytes = NameBytes(chunk.listeners.front());
  for (size_t i = 0; i < newest; ++i) chunk.places[i].end = 0;
  place.end = static_cast<uint32_t>(chunk.bytes.size());
  place.listener = 0;
  memory_ += chunk.MemoryUse();
}

void EventRing::NoteLost(int64_t last) noexcept {
  for (; noted_ < last; ++noted_) {
    const Entry entry = EntryOf(noted_ + 1);
    lost_.Add(noted_ + 1, entry.kind, entry.listener_name);
  }
}

bool EventRing::HasLost(int64_t first, const std::set<std::string>& listeners,
                        const EventKinds& kinds) const {
  if (lost_.Has(first, listeners, kinds)) return true;
  const int64_t end = this->first();
  for (int64_t i = std::max(first, noted_ + 1); i < end; ++i) {
    const Entry entry = EntryOf(i);
    if ((kinds.none() || kinds.test(static_cast<size_t>(entry.kind))) &&
        (listeners.empty() || listeners.count(entry.listener_name) > 0)) {
      return true;
    }
  }
  return false;
}

EventRing::Entry EventRing::at(int64_t number) const {
  PORTREEVE_CHECK(number >= first() && number <= last_);
  return EntryOf(number);
}

EventRing::Entry EventRing::place(int64_t number) const {
  PORTREEVE_CHECK(number > noted_ && number <= last_);
  const Entry entry = EntryOf(number);
  if (number >= first()) return entry;
  return Entry{entry.kind, entry.form, entry.listener_name, {}};
}

EventRing::Entry EventRing::EntryOf(int64_t number) const {
  static const std::string* const kNone = new std::string();
  const auto slot = static_cast<size_t>(ChunkOf(number)) % chunks_.size();
  const Chunk& chunk = *chunks_[slot];
  const auto index = static_cast<size_t>((number - 1) % kChunk);
  const Place& place = chunk.places[index];
  const size_t begin = index == 0 ? 0 : chunk.places[index - 1].end;
  const SharedName& listener = chunk.listeners[place.listener];
  return Entry{
      static_cast<v1::EventKind>(place.kind), place.form,
      listener ? *listener : *kNone,
      absl::string_view(chunk.bytes.data() + begin, place.end - begin)};
}

size_t EventRing::Chunk::MemoryUse() const {
  return sizeof(Chunk) + bytes.capacity() +
         listeners.capacity() * sizeof(SharedName) + name_bytes;
}

}  // namespace portreeve::server
