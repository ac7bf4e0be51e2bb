#include "server/events/listener_record.h"

#include "lib/base/check.h"
#include "server/api/timestamp.h"

namespace portreeve::server {
namespace {

v1::Listener Decoded(absl::string_view bytes) {
  v1::Listener listener;
  PORTREEVE_CHECK(
      listener.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  return listener;
}

}  // namespace

v1::Listener EncodedListener::message() const { return Decoded(bytes); }

EncodedListener Encode(const ListenerRecord& record) {
  BackwardWriter writer;
  WriteListener(record, writer);
  return {std::string(record.name), std::string(writer.bytes())};
}

EncodedListener Encode(const v1::Listener& listener) {
  return {listener.name(), listener.SerializeAsString()};
}

v1::Listener ToProto(const ListenerRecord& record) {
  BackwardWriter writer;
  WriteListener(record, writer);
  return Decoded(writer.bytes());
}

void WriteListener(const ListenerRecord& record, BackwardWriter& writer) {
  using Message = v1::Listener;
  const size_t end = writer.size();
  WriteStatus(record, writer);
  writer.Message(Message::kStatusFieldNumber, end);
  writer.Encoded(Message::kSpecFieldNumber, record.spec);
  writer.String(Message::kUidFieldNumber, record.uid);
  writer.String(Message::kNameFieldNumber, record.name);
}

void WriteStatus(const ListenerRecord& record, BackwardWriter& writer) {
  using Message = v1::ListenerStatus;
  writer.Int(Message::kWorkersFieldNumber, record.workers);
  writer.Int(Message::kBacklogConnectionsFieldNumber,
             record.backlog_connections);
  writer.Int(Message::kSourceFieldNumber, record.source);
  if (record.opened_time != 0) {
    WriteTimestamp(Message::kOpenedTimeFieldNumber, record.opened_time, writer);
  }
  if (!record.failure.empty()) {
    writer.Encoded(Message::kFailureFieldNumber, record.failure);
  }
  if (record.closes != nullptr) {
    record.closes->Write(Message::kClosedByReasonFieldNumber, writer);
  }
  writer.Int(Message::kCloseCauseFieldNumber, record.close_cause);
  if (record.close_time != 0) {
    WriteTimestamp(Message::kCloseTimeFieldNumber, record.close_time, writer);
  }
  WriteTimestamp(Message::kCreateTimeFieldNumber, record.create_time, writer);
  writer.Int(Message::kBytesSentTotalFieldNumber, record.bytes_sent_total);
  writer.Int(Message::kBytesReceivedTotalFieldNumber,
             record.bytes_received_total);
  writer.Int(Message::kHandlerErrorsTotalFieldNumber,
             record.handler_errors_total);
  writer.Int(Message::kDroppedTotalFieldNumber, record.dropped_total);
  writer.Int(Message::kAcceptedTotalFieldNumber, record.accepted_total);
  writer.Int(Message::kEffectiveBacklogFieldNumber, record.effective_backlog);
  writer.Int(Message::kNumConnectionsFieldNumber, record.num_connections);
  if (!record.listening_on.empty()) {
    writer.Encoded(Message::kListeningOnFieldNumber, record.listening_on);
  }
  writer.Int(Message::kHandlersDeterminedFieldNumber,
             record.handlers_determined);
  writer.Int(Message::kCloseFinishedFieldNumber, record.close_finished);
  writer.Int(Message::kIsClosedFieldNumber, record.is_closed);
  writer.Int(Message::kStateFieldNumber, record.state);
}

}  // namespace portreeve::server
