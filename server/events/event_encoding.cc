#include "server/events/event_encoding.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "server/api/timestamp.h"
#include "server/events/connection_record.h"

namespace portreeve::server {
namespace {

constexpr int kEventsField = v1::WatchEventsResponse::kEventsFieldNumber;
constexpr uint32_t kEventsTag = kEventsField << 3 | 2;

// The kinds of Event and EventKind are in the same order (event.proto).
static_assert(v1::Event::kProgress - v1::Event::kListenerCreated ==
              v1::EVENT_KIND_PROGRESS - v1::EVENT_KIND_LISTENER_CREATED);
static_assert(v1::Event::kListenerFailed - v1::Event::kListenerCreated ==
              v1::EVENT_KIND_LISTENER_FAILED - v1::EVENT_KIND_LISTENER_CREATED);
constexpr int kFieldOverKind =
    int{v1::Event::kListenerCreated} - int{v1::EVENT_KIND_LISTENER_CREATED};

// The messages of the three kinds are alike.
constexpr int kConnectionField =
    v1::Event::ConnectionAccepted::kConnectionFieldNumber;
static_assert(v1::Event::ConnectionDropped::kConnectionFieldNumber ==
              kConnectionField);
static_assert(v1::Event::ConnectionClosed::kConnectionFieldNumber ==
              kConnectionField);

// The messages of the eight kinds are alike, too.
constexpr int kListenerField = v1::Event::ListenerCreated::kListenerFieldNumber;
static_assert(v1::Event::ListenerUpdated::kListenerFieldNumber ==
              kListenerField);
static_assert(v1::Event::ListenerCloseStarted::kListenerFieldNumber ==
              kListenerField);
static_assert(v1::Event::ListenerCloseFinished::kListenerFieldNumber ==
              kListenerField);
static_assert(v1::Event::ListenerHandlersDetermined::kListenerFieldNumber ==
              kListenerField);
static_assert(v1::Event::ListenerDeleted::kListenerFieldNumber ==
              kListenerField);
static_assert(v1::Event::ListenerRestored::kListenerFieldNumber ==
              kListenerField);
static_assert(v1::Event::ListenerFailed::kListenerFieldNumber ==
              kListenerField);

// Puts what `writer` has, a field of the kind's message, into its event.
void FinishEvent(const EventStamp& stamp, v1::EventKind kind,
                 BackwardWriter& writer) {
  writer.Message(kind + kFieldOverKind, 0);
  WriteTimestamp(v1::Event::kTimeFieldNumber, stamp.time, writer);
  writer.String(v1::Event::kInstanceIdFieldNumber, stamp.instance_id);
  writer.Int(v1::Event::kRevisionFieldNumber, stamp.revision);
  writer.Message(kEventsField, 0);
}

}  // namespace

std::string EncodeEvent(const v1::Event& event) {
  std::string encoded;
  google::protobuf::io::StringOutputStream stream(&encoded);
  google::protobuf::io::CodedOutputStream out(&stream);
  out.WriteTag(kEventsTag);
  out.WriteVarint32(static_cast<uint32_t>(event.ByteSizeLong()));
  event.SerializeToCodedStream(&out);
  out.Trim();
  return encoded;
}

bool IsEncodedEvent(absl::string_view bytes) {
  google::protobuf::io::CodedInputStream in(
      reinterpret_cast<const uint8_t*>(bytes.data()),
      static_cast<int>(bytes.size()));
  uint32_t size = 0;
  return in.ReadTag() == kEventsTag && in.ReadVarint32(&size) &&
         static_cast<size_t>(in.CurrentPosition()) + size == bytes.size();
}

void WriteConnectionEvent(const EventStamp& stamp, v1::EventKind kind,
                          absl::string_view listener_name,
                          absl::string_view packed, BackwardWriter& writer) {
  WriteConnection(packed, listener_name, writer);
  writer.Message(kConnectionField, 0);
  FinishEvent(stamp, kind, writer);
}

void WriteListenerEvent(const EventStamp& stamp, v1::EventKind kind,
                        const ListenerRecord& record, BackwardWriter& writer) {
  WriteListener(record, writer);
  writer.Message(kListenerField, 0);
  FinishEvent(stamp, kind, writer);
}

void WriteListenerEvent(const EventStamp& stamp, v1::EventKind kind,
                        absl::string_view listener, BackwardWriter& writer) {
  writer.Encoded(kListenerField, listener);
  FinishEvent(stamp, kind, writer);
}

v1::EventKind KindOf(const v1::Event& event) {
  if (event.kind_case() == v1::Event::KIND_NOT_SET) {
    return v1::EVENT_KIND_UNSPECIFIED;
  }
  return static_cast<v1::EventKind>(event.kind_case() - kFieldOverKind);
}

}  // namespace portreeve::server
