// MetricsSnapshot: what a scrape has found, in plain values.
#ifndef PORTREEVE_SERVER_METRICS_METRICS_SNAPSHOT_H_
#define PORTREEVE_SERVER_METRICS_METRICS_SNAPSHOT_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "portreeve/v1/event.pb.h"
#include "portreeve/v1/listener.pb.h"
#include "server/control/request_counts.h"
#include "server/events/close_counts.h"
#include "server/events/connection_histograms.h"
#include "server/metrics/process_values.h"
#include "server/registry/listener_counts.h"

namespace portreeve::server {

struct ListenerValues {
  std::string id;
  std::string address;  // As the command line writes it; any bytes.
  std::string handler;  // "forward".
  // The names that Prometheus sees, and the values.
  std::vector<std::pair<std::string, std::string>> labels;
  ListenerCounts counts;
  // Null: it has none of its own.
  std::shared_ptr<const ConnectionHistograms> histograms;
};

struct WatchValues {
  int64_t open = 0;
  int64_t lost_total = 0;  // Events that the watches were told they missed.
};

struct AccessLogValues {
  int64_t lines_total = 0;
  int64_t dropped_total = 0;
};

struct DaemonValues {
  std::string version;
  std::string instance_id;
  double start_time = 0;  // Seconds since 1970.
  bool ready = false;
  std::array<int64_t, v1::ListenerState_ARRAYSIZE> listeners{};  // By state.
  int64_t folded = 0;  // Listeners without series of their own.
  int64_t dialled_total = 0;
  CloseCounts dialled_closes;
  // Of all listeners; none where each has its own, or nothing has.
  std::optional<ConnectionHistograms> histograms;
  std::array<int64_t, v1::EventKind_ARRAYSIZE> events{};  // By kind.
  WatchValues watches;
  std::vector<RequestCounts::Method> requests;
  std::optional<AccessLogValues> access_log;  // None: there is no such log.
  int64_t descriptors = 0;
  int64_t descriptors_limit = 0;
  std::vector<double> loop_lags;  // Seconds, by the number of the loop.
  ProcessValues process;
};

struct MetricsSnapshot {
  std::vector<ListenerValues> listeners;  // Each id once.
  // The sum of the listeners that have no series of their own, those that were
  // deleted included; none where there was no such listener.
  std::optional<ListenerCounts> other;
  std::optional<ConnectionHistograms> other_histograms;  // Likewise.
  std::optional<DaemonValues> daemon;  // None: it was not asked for.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_METRICS_METRICS_SNAPSHOT_H_
