// ListenerResource: what it tells of itself, in records and counts.
#include <cstddef>
#include <cstdint>

#include "server/api/convert.h"
#include "server/events/saved_totals.h"
#include "server/registry/listener_resource.h"

namespace portreeve::server {

ListenerRecord ListenerResource::Record() const {
  ListenerRecord record;
  record.name = *name_;
  record.uid = identity_.uid;
  record.spec = spec_->encoded();
  record.listening_on = encoded_listening_on_;
  record.is_closed = is_closed();
  record.close_finished = close_finished_.determined();
  record.handlers_determined = handlers_determined_.determined();
  record.state = state();
  CountTotals(record);
  record.create_time = identity_.create_time;
  record.opened_time = opened_time_;
  record.close_time = close_time_;
  if (const auto cause = close_cause()) record.close_cause = ToProto(*cause);
  record.source = identity_.source;
  if (is_failed()) record.failure = encoded_failure_;
  record.closes = &closes_;
  return record;
}

ListenerRecord ListenerResource::RecordOfNow() const {
  ListenerRecord record = Record();
  if (spec_->remote() != nullptr) {
    record.workers = static_cast<int64_t>(workers_.num_workers());
  }
  if (server_ == nullptr) return record;
  if (const auto backlog = server_->ReadBacklog()) {
    record.backlog_connections = backlog->num_waiting;
  }
  return record;
}

v1::ListenerState ListenerResource::state() const {
  return close_finished_.determined() ? v1::LISTENER_STATE_CLOSED
         : is_closed()                ? v1::LISTENER_STATE_CLOSING
         : is_failed()                ? v1::LISTENER_STATE_FAILED
                                      : v1::LISTENER_STATE_LISTENING;
}

ListenerCounts ListenerResource::Counts() const {
  ListenerCounts counts;
  counts.max_connections = *spec_->options().max_connections;
  if (server_ != nullptr) {
    counts.connections = static_cast<int64_t>(server_->connections().size());
    counts.accepted_total = server_->accepted_total();
    counts.dropped_total = server_->dropped_total();
    counts.handler_errors_total = server_->handler_errors_total();
    counts.limit_reached_total = server_->limit_reached_total();
    counts.accept_errors_total = server_->accept_errors_total();
    const AnyServer::Bytes bytes = server_->bytes_total();
    counts.received_bytes_total = bytes.received;
    counts.sent_bytes_total = bytes.sent;
    counts.backlog = server_->ReadBacklog();
  } else if (kept_ != nullptr) {
    counts.accepted_total = kept_->accepted_total();
    counts.dropped_total = kept_->dropped_total();
    counts.handler_errors_total = kept_->handler_errors_total();
    counts.received_bytes_total = kept_->bytes_received_total();
    counts.sent_bytes_total = kept_->bytes_sent_total();
    counts.limit_reached_total = kept_limit_reached_total_;
    counts.accept_errors_total = kept_accept_errors_total_;
  }
  if (spec_->remote() != nullptr) {
    counts.unclaimed = workers_.num_offered();
    counts.workers = static_cast<int64_t>(workers_.num_workers());
  }
  counts.closes = closes_;
  return counts;
}

internal::v1::ListenerTotals ListenerResource::SaveTotals() const {
  internal::v1::ListenerTotals totals = ToTotals(Counts());
  totals.set_upstream_connects_total(upstream_counts_.connects);
  totals.set_upstream_connect_errors_total(upstream_counts_.errors);
  if (histograms_ != nullptr) {
    *totals.mutable_connections() = ToTotals(*histograms_);
  }
  return totals;
}

void ListenerResource::RestoreTotals(
    const internal::v1::ListenerTotals& totals) {
  kept_limit_reached_total_ = totals.limit_reached_total();
  kept_accept_errors_total_ = totals.accept_errors_total();
  closes_.Restore(totals.closed_by_reason());
  upstream_counts_.connects = totals.upstream_connects_total();
  upstream_counts_.errors = totals.upstream_connect_errors_total();
  if (histograms_ == nullptr) return;
  *histograms_ = FromTotals(totals.connections());
}

void ListenerResource::CountTotals(ListenerRecord& record) const {
  if (server_ != nullptr) {
    record.num_connections =
        static_cast<int64_t>(server_->connections().size());
    record.effective_backlog = server_->effective_backlog();
    record.accepted_total = server_->accepted_total();
    record.dropped_total = server_->dropped_total();
    record.handler_errors_total = server_->handler_errors_total();
    const AnyServer::Bytes bytes = server_->bytes_total();
    record.bytes_received_total = bytes.received;
    record.bytes_sent_total = bytes.sent;
  } else if (kept_ != nullptr) {
    record.effective_backlog = kept_->effective_backlog();
    record.accepted_total = kept_->accepted_total();
    record.dropped_total = kept_->dropped_total();
    record.handler_errors_total = kept_->handler_errors_total();
    record.bytes_received_total = kept_->bytes_received_total();
    record.bytes_sent_total = kept_->bytes_sent_total();
  }
}

size_t ListenerResource::MemoryUse() const {
  // This includes its socket's place in the poller and the registry.  The spec
  // is there as it is sent and as a message, whose strings are objects of their
  // own.
  constexpr size_t kWithoutSpec = 5 << 10;
  const size_t histograms = histograms_ ? sizeof(*histograms_) : 0;
  return kWithoutSpec + histograms + 3 * spec_->encoded().size();
}

}  // namespace portreeve::server
