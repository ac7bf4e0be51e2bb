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
