#include "server/event_log.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <utility>

#include "lib/check.h"
#include "server/convert.h"
#include "server/uuid.h"

namespace portreeve::server {
namespace {

// The tag of WatchEventsResponse.events: field 1, length-delimited.
constexpr uint32_t kEventsTag =
    v1::WatchEventsResponse::kEventsFieldNumber << 3 | 2;

// The kinds of Event and EventKind are in the same order (event.proto).
v1::EventKind KindOf(const v1::Event& event) {
  return static_cast<v1::EventKind>(event.kind_case() == v1::Event::KIND_NOT_SET
                                        ? v1::EVENT_KIND_UNSPECIFIED
                                        : event.kind_case() -
                                              v1::Event::kListenerCreated +
                                              v1::EVENT_KIND_LISTENER_CREATED);
}
static_assert(v1::Event::kGap - v1::Event::kListenerCreated ==
              v1::EVENT_KIND_GAP - v1::EVENT_KIND_LISTENER_CREATED);

std::string Encode(const v1::Event& event) {
  std::string encoded;
  google::protobuf::io::StringOutputStream stream(&encoded);
  google::protobuf::io::CodedOutputStream out(&stream);
  out.WriteTag(kEventsTag);
  out.WriteVarint32(static_cast<uint32_t>(event.ByteSizeLong()));
  event.SerializeToCodedStream(&out);
  out.Trim();
  return encoded;
}

}  // namespace

EventLog::EventLog(int64_t capacity)
    : instance_id_(NewUuid()), ring_(static_cast<size_t>(capacity)) {
  PORTREEVE_CHECK(capacity >= 1);
}

void EventLog::Append(v1::Event event, const std::string& listener_name) {
  ++last_revision_;
  Entry& entry = slot(last_revision_);
  entry = Stamp(std::move(event), last_revision_);
  entry.listener_name = listener_name;
  for (const auto& on_append : subscribers_) on_append();
}

int64_t EventLog::first_revision() const {
  return last_revision_ <= capacity() ? 1 : last_revision_ - capacity() + 1;
}

const EventLog::Entry& EventLog::at(int64_t revision) const {
  PORTREEVE_CHECK(revision >= first_revision() && revision <= last_revision_);
  return ring_[static_cast<size_t>((revision - 1) % capacity())];
}

EventLog::Entry& EventLog::slot(int64_t revision) {
  return ring_[static_cast<size_t>((revision - 1) % capacity())];
}

EventLog::Entry EventLog::Stamp(v1::Event event, int64_t revision) const {
  event.set_revision(revision);
  event.set_instance_id(instance_id_);
  *event.mutable_time() = TimestampNow();
  return Entry{KindOf(event), "", Encode(event)};
}

EventLog::Entry EventLog::MakeGap(int64_t first, int64_t last) const {
  v1::Event event;
  v1::Event::Gap& gap = *event.mutable_gap();
  gap.set_first_revision(first);
  gap.set_last_revision(last);
  gap.set_count(last - first + 1);
  return Stamp(std::move(event), last);
}

EventLog::Subscription::Subscription(EventLog& log,
                                     std::function<void()> on_append)
    : log_(log),
      position_(log.subscribers_.insert(log.subscribers_.end(),
                                        std::move(on_append))) {}

EventLog::Subscription::~Subscription() { log_.subscribers_.erase(position_); }

}  // namespace portreeve::server
