#include "server/registry/listener_row.h"

#include "server/api/backward_writer.h"
#include "server/api/timestamp.h"

namespace portreeve::server {
namespace {

void WriteTotals(const ListenerRecord& record, BackwardWriter& writer) {
  using Message = internal::v1::StateTotals;
  if (record.closes != nullptr) {
    record.closes->Write(Message::kClosedByReasonFieldNumber, writer);
  }
  writer.Int(Message::kBytesSentTotalFieldNumber, record.bytes_sent_total);
  writer.Int(Message::kBytesReceivedTotalFieldNumber,
             record.bytes_received_total);
  writer.Int(Message::kHandlerErrorsTotalFieldNumber,
             record.handler_errors_total);
  writer.Int(Message::kDroppedTotalFieldNumber, record.dropped_total);
  writer.Int(Message::kAcceptedTotalFieldNumber, record.accepted_total);
}

void WriteClose(const ListenerRecord& record, int64_t close_number,
                BackwardWriter& writer) {
  using Message = internal::v1::StateClose;
  writer.Int(Message::kHandlersDeterminedFieldNumber,
             record.handlers_determined);
  writer.Int(Message::kEffectiveBacklogFieldNumber, record.effective_backlog);
  const size_t end = writer.size();
  WriteTotals(record, writer);
  writer.Message(Message::kTotalsFieldNumber, end);
  writer.Int(Message::kCauseFieldNumber, record.close_cause);
  if (record.close_time != 0) {
    WriteTimestamp(Message::kTimeFieldNumber, record.close_time, writer);
  }
  writer.Int(Message::kNumberFieldNumber, close_number);
}

}  // namespace

std::string EncodeRow(const ListenerRecord& record, int64_t close_number,
                      StateListener::Source source) {
  using Message = StateListener;
  BackwardWriter writer;
  if (record.is_closed && record.close_cause != v1::CLOSE_CAUSE_SHUTDOWN) {
    WriteClose(record, close_number, writer);
    writer.Message(Message::kCloseFieldNumber, 0);
    writer.Int(Message::kCloseWantedFieldNumber, 1);
  }
  writer.Int(Message::kSourceFieldNumber, source);
  if (!record.listening_on.empty()) {
    writer.Encoded(Message::kBoundFieldNumber, record.listening_on);
  }
  WriteTimestamp(Message::kCreateTimeFieldNumber, record.create_time, writer);
  writer.String(Message::kUidFieldNumber, record.uid);
  writer.Encoded(Message::kSpecFieldNumber, record.spec);
  return std::string(writer.bytes());
}

std::string EncodeRow(const RequestKey& key, const RequestCache::Entry& entry) {
  using Message = internal::v1::StateRequest;
  BackwardWriter writer;
  writer.Encoded(Message::kAnswerFieldNumber, entry.answer);
  writer.String(Message::kFingerprintSha256FieldNumber, entry.fingerprint);
  writer.String(Message::kRequestIdFieldNumber, key.request_id);
  writer.String(Message::kCallerFieldNumber, key.caller);
  return std::string(writer.bytes());
}

}  // namespace portreeve::server
