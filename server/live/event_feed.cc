#include "server/live/event_feed.h"

#include <chrono>
#include <new>
#include <utility>

#include "server/live/event_start.h"

namespace portreeve::server {
namespace {

constexpr std::chrono::seconds kAfterNoMemory{1};
// How often it is looked whether a client that does not read is still there, in
// case there was no memory to tell that it has left.
constexpr std::chrono::minutes kAwaitClient{1};

absl::string_view BytesOf(const grpc::Slice& slice) {
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

}  // namespace

EventFeed::EventFeed(Shared shared, EventQuery query)
    : shared_(std::move(shared)), query_(std::move(query)) {}

void EventFeed::Start(HttpSink& sink) {
  sink_ = &sink;
  shared_.link.loop.Post([self = shared_from_this()] { self->Join(); });
}

void EventFeed::Stop() {
  sink_ = nullptr;
  gone_ = true;
  try {
    shared_.link.loop.Post([self = shared_from_this()] { self->Leave(); });
  } catch (const std::bad_alloc&) {
    // It leaves when it looks next, for events or for the client.
  }
}

void EventFeed::Join() {
  if (gone_) return;
  timer_.emplace(TimeSource::Of(shared_.link.loop.context()));
  self_ = shared_from_this();
  shared_.service.AddOther();
  Pump();
}

void EventFeed::Begin() {
  EventStart start = StartOf(query_.last_id, shared_.log.instance_id(),
                             shared_.log.last_revision());
  auto events = shared_.service.filters().Of(query_.filter);
  if (start.has_snapshot) {
    snapshot_ = std::make_unique<Snapshot>(shared_.registry, shared_.log,
                                           query_.filter, query_.snapshot);
  }
  restart_ = std::move(start.restart);
  next_ = start.first;
  events_ = std::move(events);
}

void EventFeed::Leave() {
  if (self_ == nullptr) return;
  shared_.service.RemoveOther();
  shared_.service.schedule().Forget(*this);
  shared_.service.snapshots().Forget(*this);
  timer_.reset();
  events_.reset();
  snapshot_.reset();
  message_ = grpc::Slice();
  self_.reset();
}

bool EventFeed::TakeStep() {
  if (gone_) {
    Leave();
    return false;
  }
  try {
    if (!snapshot_->Step()) return true;
    next_ = snapshot_->revision() + 1;
  } catch (const std::bad_alloc&) {
    timer_->StartAfter(kAfterNoMemory, [this] { Pump(); });
    return false;
  }
  Pump();
  return false;
}

void EventFeed::Pump() {
  if (gone_) return Leave();
  if (self_ == nullptr) return;
  timer_->Cancel();
  try {
    if (events_ == nullptr) Begin();
    PumpOnce();
  } catch (const std::bad_alloc&) {
    timer_->StartAfter(kAfterNoMemory, [this] { Pump(); });
  }
}

void EventFeed::PumpLater() {
  shared_.link.loop.Post([self = shared_from_this()] { self->Pump(); });
}

// After each of these something is waited for: the client, the snapshot, the
// log, or the next step of the loop.
void EventFeed::PumpOnce() {
  if (!restart_.empty()) {
    shared_.link.http->Post([self = shared_from_this(), reason = restart_] {
      self->OnRestart(reason);
    });
    restart_.clear();
  }
  if (snapshot_ == nullptr) return PumpEvents();
  if (!snapshot_->is_complete()) {
    return shared_.service.snapshots().Wait(*this);
  }
  // It is taken once, but handed over only once there is memory for that.
  if (message_.size() == 0) message_ = grpc::Slice(snapshot_->TakeMessage());
  Hand({message_, EventsAre::kSnapshot, true});
  message_ = grpc::Slice();
  if (snapshot_->empty()) snapshot_.reset();
}

void EventFeed::PumpEvents() {
  if (next_ > shared_.log.last_revision()) {
    return shared_.service.schedule().Wait(*this);
  }
  const FilteredEvents::Batch batch = events_->From(next_);
  const bool has_caught_up = batch.end > shared_.log.last_revision();
  const bool awaited = !has_caught_up || on_way_ >= kMaxOnWay;
  if (batch.bytes.size() > 0) {
    Hand({batch.bytes, EventsAre::kNews, awaited});
    shared_.service.AddLost(batch.lost);
  }
  next_ = batch.end;
  if (has_caught_up && !awaited) {
    shared_.service.schedule().Wait(*this);
  } else if (batch.bytes.size() == 0) {
    PumpLater();
  }
}

void EventFeed::Hand(Handed handed) {
  const bool awaited = handed.awaited;
  shared_.link.http->Post(
      [self = shared_from_this(), handed = std::move(handed)] {
        self->OnHanded(handed);
      });
  ++on_way_;
  if (awaited) AwaitClient();
}

void EventFeed::AwaitClient() {
  timer_->StartAfter(kAwaitClient, [this] {
    if (gone_) return Leave();
    AwaitClient();
  });
}

void EventFeed::OnRestart(const std::string& reason) {
  if (sink_ == nullptr) return;
  try {
    sink_->Put(std::make_shared<const std::string>(RestartText(reason)));
  } catch (const std::bad_alloc&) {
    End();
  }
}

void EventFeed::OnHanded(const Handed& handed) {
  --on_way_;
  if (sink_ == nullptr) return;
  try {
    if (!handed.awaited) {
      return sink_->Put(shared_.texts->NewsOf(handed.bytes));
    }
    parts_ = handed;
    loop_waits_ = true;
    // Else when it is drained.
    if (sink_->waiting() == 0) PutPart();
  } catch (const std::bad_alloc&) {
    End();
  }
}

void EventFeed::OnDrained() {
  if (!loop_waits_) return;
  try {
    if (parts_.bytes.size() > 0) return PutPart();
    loop_waits_ = false;
    PumpLater();
  } catch (const std::bad_alloc&) {
    End();
  }
}

void EventFeed::PutPart() {
  const size_t end = EndOfPart(BytesOf(parts_.bytes), kMaxPartBytes);
  const grpc::Slice part = parts_.bytes.sub(0, end);
  const size_t size = parts_.bytes.size();
  if (parts_.what == EventsAre::kNews) {
    sink_->Put(shared_.texts->NewsOf(part));
  } else {
    sink_->Put(std::make_shared<const std::string>(
        EventText(BytesOf(part), EventsAre::kSnapshot)));
  }
  parts_.bytes = end == size ? grpc::Slice() : parts_.bytes.sub(end, size);
}

// What comes after something that the client does not have must not be put.
void EventFeed::End() {
  std::exchange(sink_, nullptr)->End();
  loop_waits_ = false;
}

}  // namespace portreeve::server
