#include "server/events/event_log.h"

#include <new>
#include <utility>

#include "lib/base/check.h"
#include "server/api/timestamp.h"
#include "server/api/uuid.h"
#include "server/events/event_encoding.h"

namespace portreeve::server {

EventLog::EventLog(int64_t capacity, size_t max_bytes)
    : no_memory_(
          absl::ResourceExhaustedError("there is no memory for the events")),
      instance_id_(NewUuid()),
      ring_(std::make_unique<EventRing>(capacity, max_bytes)) {}

absl::StatusOr<Descriptor> EventLog::Save() const {
  try {
    return SaveEvents(instance_id_, totals_, *ring_);
  } catch (const std::bad_alloc&) {
    return no_memory_;
  }
}

absl::Status EventLog::Load(const Descriptor& file) {
  PORTREEVE_CHECK(last_revision() == 0);
  try {
    auto saved = LoadEvents(file, ring_->capacity(), ring_->max_bytes());
    if (!saved.ok()) return saved.status();
    instance_id_ = std::move(saved->instance_id);
    ring_ = std::move(saved->ring);
    totals_ = saved->totals;
    return absl::OkStatus();
  } catch (const std::bad_alloc&) {
    return no_memory_;
  }
}

void EventLog::Append(v1::Event event, const std::string& listener_name) {
  const v1::EventKind kind = KindOf(event);
  const SharedName listener =
      listener_name.empty()
          ? nullptr
          : std::make_shared<const std::string>(listener_name);
  Add(kind, EventForm::kEncoded, listener,
      Stamp(std::move(event), last_revision() + 1));
}

void EventLog::AppendListener(v1::EventKind kind, const ListenerRecord& record,
                              const SharedName& listener) {
  const EventStamp stamp{last_revision() + 1, instance_id_, UnixNanosNow()};
  BackwardWriter writer;
  WriteListenerEvent(stamp, kind, record, writer);
  Add(kind, EventForm::kEncoded, listener, writer.bytes());
}

void EventLog::AppendConnection(v1::EventKind kind,
                                const ConnectionRecord& record,
                                const SharedName& listener) {
  const PackedConnection packed = Pack(record);
  Add(kind, EventForm::kPacked, listener, packed.bytes());
}

void EventLog::Add(v1::EventKind kind, EventForm form,
                   const SharedName& listener, absl::string_view bytes) {
  ring_->Add(kind, form, listener, bytes);
  ++totals_[static_cast<size_t>(kind)];
  for (const auto& on_append : subscribers_) on_append();
}

void EventLog::AppendTo(std::string& message, int64_t revision) const {
  const EventRing::Entry entry = at(revision);
  if (entry.form == EventForm::kEncoded) {
    message.append(entry.bytes.data(), entry.bytes.size());
    return;
  }
  const EventStamp stamp{revision, instance_id_, LastTimeOf(entry.bytes)};
  BackwardWriter writer;
  WriteConnectionEvent(stamp, entry.kind, entry.listener_name, entry.bytes,
                       writer);
  message.append(writer.bytes().data(), writer.size());
}

std::string EventLog::Stamp(v1::Event event, int64_t revision) const {
  event.set_revision(revision);
  event.set_instance_id(instance_id_);
  *event.mutable_time() = TimestampNow();
  return EncodeEvent(event);
}

std::string EventLog::MakeGap(int64_t first, int64_t last) const {
  v1::Event event;
  v1::Event::Gap& gap = *event.mutable_gap();
  gap.set_first_revision(first);
  gap.set_last_revision(last);
  gap.set_count(last - first + 1);
  return Stamp(std::move(event), last);
}

std::string EventLog::MakeProgress(int64_t revision) const {
  v1::Event event;
  event.mutable_progress();
  return Stamp(std::move(event), revision);
}

EventLog::Subscription::Subscription(EventLog& log,
                                     std::function<void()> on_append)
    : log_(log),
      position_(log.subscribers_.insert(log.subscribers_.end(),
                                        std::move(on_append))) {}

EventLog::Subscription::~Subscription() { log_.subscribers_.erase(position_); }

}  // namespace portreeve::server
