// ListenerRecord: what clients learn of a listener, and how it is encoded.
#ifndef PORTREEVE_SERVER_EVENTS_LISTENER_RECORD_H_
#define PORTREEVE_SERVER_EVENTS_LISTENER_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "portreeve/v1/listener.pb.h"
#include "server/api/backward_writer.h"
#include "server/events/close_counts.h"

namespace portreeve::server {

// What a listener was like at one moment.
struct ListenerRecord {
  absl::string_view name;
  absl::string_view uid;
  absl::string_view spec;          // Encoded: a v1::ListenerSpec.
  absl::string_view listening_on;  // Encoded: a v1::Address; empty: none.
  v1::ListenerState state = v1::LISTENER_STATE_UNSPECIFIED;
  bool is_closed = false;
  bool close_finished = false;
  bool handlers_determined = false;
  int64_t num_connections = 0;
  int64_t effective_backlog = 0;
  int64_t accepted_total = 0;
  int64_t dropped_total = 0;
  int64_t handler_errors_total = 0;
  int64_t bytes_received_total = 0;
  int64_t bytes_sent_total = 0;
  int64_t create_time = 0;  // Nanoseconds since 1970, as close_time.
  int64_t close_time = 0;   // 0: not closed yet.
  int64_t opened_time = 0;  // 0: not opened in this life of the daemon.
  v1::CloseCause close_cause = v1::CLOSE_CAUSE_UNSPECIFIED;
  v1::ListenerSource source = v1::LISTENER_SOURCE_UNSPECIFIED;
  absl::string_view failure;  // Encoded: a v1::ListenerFailure; empty: none.
  const CloseCounts* closes = nullptr;  // Null: none.
  // These two are not in events.
  int64_t backlog_connections = 0;
  int64_t workers = 0;
};

// A v1::Listener as it is sent, which is how most of them are needed.
struct EncodedListener {
  std::string name;   // As it stands in the message.
  std::string bytes;  // The message.

  size_t ByteSizeLong() const { return bytes.size(); }
  v1::Listener message() const;
};

EncodedListener Encode(const ListenerRecord& record);
EncodedListener Encode(const v1::Listener& listener);
v1::Listener ToProto(const ListenerRecord& record);

// Writes the fields of ToProto().
void WriteListener(const ListenerRecord& record, BackwardWriter& writer);
// Writes those of its status.
void WriteStatus(const ListenerRecord& record, BackwardWriter& writer);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_EVENTS_LISTENER_RECORD_H_
