#include "server/state/state_records.h"

#include <openssl/sha.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/api/names.h"
#include "server/state/state_errors.h"
#include "server/state/unknown_fields.h"

namespace portreeve::server {

void Keep(const v1::Listener& listener, int64_t close_number,
          StateListener& record) {
  const v1::ListenerStatus& status = listener.status();
  v1::ListenerSpec spec = listener.spec();
  CarryUnknownFields(record.spec(), spec);
  *record.mutable_spec() = std::move(spec);
  record.set_uid(listener.uid());
  *record.mutable_create_time() = status.create_time();
  if (status.has_listening_on()) {
    *record.mutable_bound() = status.listening_on();
  }
  const bool is_closed =
      status.is_closed() && status.close_cause() != v1::CLOSE_CAUSE_SHUTDOWN;
  record.set_close_wanted(is_closed);
  if (!is_closed) {
    record.clear_close();
    return;
  }
  internal::v1::StateClose& close = *record.mutable_close();
  close.set_number(close_number);
  close.clear_time();
  if (status.has_close_time()) *close.mutable_time() = status.close_time();
  close.set_cause(status.close_cause());
  close.set_effective_backlog(status.effective_backlog());
  close.set_handlers_determined(status.handlers_determined());
  internal::v1::StateTotals& totals = *close.mutable_totals();
  totals.set_accepted_total(status.accepted_total());
  totals.set_dropped_total(status.dropped_total());
  totals.set_handler_errors_total(status.handler_errors_total());
  totals.set_bytes_received_total(status.bytes_received_total());
  totals.set_bytes_sent_total(status.bytes_sent_total());
  *totals.mutable_closed_by_reason() = status.closed_by_reason();
}

v1::Listener ClosedListener(absl::string_view id, const StateListener& record) {
  v1::Listener listener;
  listener.set_name(ListenerName(id));
  listener.set_uid(record.uid());
  *listener.mutable_spec() = record.spec();
  v1::ListenerStatus& status = *listener.mutable_status();
  status.set_state(v1::LISTENER_STATE_CLOSED);
  status.set_is_closed(true);
  status.set_close_finished(true);
  status.set_handlers_determined(true);
  if (record.has_bound()) *status.mutable_listening_on() = record.bound();
  *status.mutable_create_time() = record.create_time();
  const internal::v1::StateClose& close = record.close();
  if (close.has_time()) *status.mutable_close_time() = close.time();
  status.set_close_cause(close.cause());
  status.set_effective_backlog(close.effective_backlog());
  const internal::v1::StateTotals& totals = close.totals();
  status.set_accepted_total(totals.accepted_total());
  status.set_dropped_total(totals.dropped_total());
  status.set_handler_errors_total(totals.handler_errors_total());
  status.set_bytes_received_total(totals.bytes_received_total());
  status.set_bytes_sent_total(totals.bytes_sent_total());
  *status.mutable_closed_by_reason() = totals.closed_by_reason();
  return listener;
}

ListenerRow RowOf(const std::string& id, const StateListener& record) {
  return {id, record.SerializeAsString()};
}

RequestRow RowOf(int64_t seq, const StateRequest& record) {
  return {seq, record.request_id(), record.SerializeAsString()};
}

absl::StatusOr<StateListener> ParseRow(const ListenerRow& row) {
  StateListener record;
  if (!record.ParseFromString(row.record) || !IsListenerId(row.id) ||
      record.uid().empty() || !record.has_spec()) {
    return StateDamaged(
        absl::StrCat(ListenerName(row.id), ": it is no listener"));
  }
  return record;
}

absl::StatusOr<StateRequest> ParseRow(const RequestRow& row) {
  StateRequest record;
  if (!record.ParseFromString(row.record) ||
      record.request_id() != row.request_id ||
      record.fingerprint_sha256().size() != SHA256_DIGEST_LENGTH) {
    return StateDamaged(
        absl::StrCat("requests/", row.seq, ": it is no request"));
  }
  return record;
}

}  // namespace portreeve::server
