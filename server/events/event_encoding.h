// How events are encoded to be sent: each as an element of
// WatchEventsResponse.events, that is, its tag, its length and a v1::Event.  So
// messages are put together from events by concatenation.
#ifndef PORTREEVE_SERVER_EVENTS_EVENT_ENCODING_H_
#define PORTREEVE_SERVER_EVENTS_EVENT_ENCODING_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "portreeve/v1/event.pb.h"
#include "server/api/backward_writer.h"
#include "server/events/listener_record.h"

namespace portreeve::server {

std::string EncodeEvent(const v1::Event& event);

// Whether `bytes` are the tag, the length, and so many bytes.  What these are,
// only who reads the event finds out.
bool IsEncodedEvent(absl::string_view bytes);

// What all events have beside their kind.
struct EventStamp {
  int64_t revision = 0;
  absl::string_view instance_id;
  int64_t time = 0;  // Nanoseconds since 1970.
};

// Writes an event of a connection, from what Pack() made: the bytes are those
// that EncodeEvent() makes.  `kind` is connection_accepted, connection_dropped
// or connection_closed; `writer` must be empty.
void WriteConnectionEvent(const EventStamp& stamp, v1::EventKind kind,
                          absl::string_view listener_name,
                          absl::string_view packed, BackwardWriter& writer);

// Writes an event of a listener, whose message has the listener and nothing
// else, likewise.
void WriteListenerEvent(const EventStamp& stamp, v1::EventKind kind,
                        const ListenerRecord& record, BackwardWriter& writer);
// Does the same for a v1::Listener that is encoded already.
void WriteListenerEvent(const EventStamp& stamp, v1::EventKind kind,
                        absl::string_view listener, BackwardWriter& writer);

// Gives the EventKind whose name is that of the event's field; UNSPECIFIED for
// none.
v1::EventKind KindOf(const v1::Event& event);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_EVENTS_EVENT_ENCODING_H_
