// ListenerCounts: what a listener has done, and what it holds, in numbers.
#ifndef PORTREEVE_SERVER_REGISTRY_LISTENER_COUNTS_H_
#define PORTREEVE_SERVER_REGISTRY_LISTENER_COUNTS_H_

#include <cstdint>
#include <optional>

#include "lib/serve/listening_socket.h"
#include "portreeve/internal/v1/totals.pb.h"
#include "server/events/close_counts.h"

namespace portreeve::server {

// Numbers of one moment.  The totals never become less; those of a listener
// that was closed in an earlier life of the daemon are what it had kept.
struct ListenerCounts {
  int64_t connections = 0;  // Whose descriptor is open.
  int64_t max_connections = 0;
  int64_t accepted_total = 0;
  int64_t dropped_total = 0;
  int64_t handler_errors_total = 0;
  int64_t limit_reached_total = 0;
  int64_t accept_errors_total = 0;
  int64_t received_bytes_total = 0;  // Those of open connections included.
  int64_t sent_bytes_total = 0;
  // Of an open listener over TCP only.
  std::optional<Backlog> backlog;
  // Of a remote handler's connections and workers; none of another one.
  std::optional<int64_t> unclaimed;
  std::optional<int64_t> workers;
  CloseCounts closes;
};

// Gives the totals alone: of what a listener holds, nothing.
ListenerCounts TotalsOf(const ListenerCounts& counts);

// Give the same as a message, and what it says.
internal::v1::ListenerTotals ToTotals(const ListenerCounts& counts);
ListenerCounts FromTotals(const internal::v1::ListenerTotals& totals);

// Adds `more` to `sum`; what one of them does not have counts as 0.
void Add(const ListenerCounts& more, ListenerCounts& sum);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_LISTENER_COUNTS_H_
