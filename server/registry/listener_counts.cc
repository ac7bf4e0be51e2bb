#include "server/registry/listener_counts.h"

namespace portreeve::server {
namespace {

void Add(const std::optional<int64_t>& more, std::optional<int64_t>& sum) {
  if (more) sum = sum.value_or(0) + *more;
}

void Add(const std::optional<Backlog>& more, std::optional<Backlog>& sum) {
  if (!more) return;
  if (!sum) sum.emplace();
  sum->num_waiting += more->num_waiting;
  sum->limit += more->limit;
}

}  // namespace

ListenerCounts TotalsOf(const ListenerCounts& counts) {
  ListenerCounts totals = counts;
  totals.connections = 0;
  totals.max_connections = 0;
  totals.backlog.reset();
  totals.unclaimed.reset();
  totals.workers.reset();
  return totals;
}

internal::v1::ListenerTotals ToTotals(const ListenerCounts& counts) {
  internal::v1::ListenerTotals totals;
  totals.set_accepted_total(counts.accepted_total);
  totals.set_dropped_total(counts.dropped_total);
  totals.set_handler_errors_total(counts.handler_errors_total);
  totals.set_limit_reached_total(counts.limit_reached_total);
  totals.set_accept_errors_total(counts.accept_errors_total);
  totals.set_bytes_received_total(counts.received_bytes_total);
  totals.set_bytes_sent_total(counts.sent_bytes_total);
  *totals.mutable_closed_by_reason() = counts.closes.Save();
  return totals;
}

ListenerCounts FromTotals(const internal::v1::ListenerTotals& totals) {
  ListenerCounts counts;
  counts.accepted_total = totals.accepted_total();
  counts.dropped_total = totals.dropped_total();
  counts.handler_errors_total = totals.handler_errors_total();
  counts.limit_reached_total = totals.limit_reached_total();
  counts.accept_errors_total = totals.accept_errors_total();
  counts.received_bytes_total = totals.bytes_received_total();
  counts.sent_bytes_total = totals.bytes_sent_total();
  counts.closes.Restore(totals.closed_by_reason());
  return counts;
}

void Add(const ListenerCounts& more, ListenerCounts& sum) {
  sum.connections += more.connections;
  sum.max_connections += more.max_connections;
  sum.accepted_total += more.accepted_total;
  sum.dropped_total += more.dropped_total;
  sum.handler_errors_total += more.handler_errors_total;
  sum.limit_reached_total += more.limit_reached_total;
  sum.accept_errors_total += more.accept_errors_total;
  sum.received_bytes_total += more.received_bytes_total;
  sum.sent_bytes_total += more.sent_bytes_total;
  Add(more.backlog, sum.backlog);
  Add(more.unclaimed, sum.unclaimed);
  Add(more.workers, sum.workers);
  sum.closes.Add(more.closes);
}

}  // namespace portreeve::server
