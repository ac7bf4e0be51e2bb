#include "server/metrics/metrics_text.h"

#include <prometheus/metric_family.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "lib/base/status.h"
#include "portreeve/v1/connection.pb.h"
#include "server/api/connection_failure.h"
#include "server/api/utf8.h"
#include "server/events/connection_histograms.h"
#include "server/events/size_histogram.h"
#include "server/metrics/family_text.h"

namespace portreeve::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;
using Metrics = std::vector<ClientMetric>;

// The value of `listener` for those that have no series of their own; no
// listener's id begins so.
constexpr char kOther[] = "_other";

// Gives the name of a value of an enum as the labels have it: "peer_closed".
std::string LabelOf(absl::string_view name, absl::string_view prefix) {
  return absl::AsciiStrToLower(absl::StripPrefix(name, prefix));
}

ClientMetric Counter(Labels labels, int64_t value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.counter.value = static_cast<double>(value);
  return metric;
}

ClientMetric Gauge(Labels labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = value;
  return metric;
}

ClientMetric Gauge(Labels labels, int64_t value) {
  return Gauge(std::move(labels), static_cast<double>(value));
}

// `bound_of` gives the bound of each of `counts` but the last, which has none.
template <typename Counts, typename F>
ClientMetric Histogram(Labels labels, const Counts& counts, double sum,
                       F bound_of) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.histogram.bucket.reserve(counts.size());
  uint64_t so_far = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    so_far += static_cast<uint64_t>(counts[i]);
    const double bound = i + 1 < counts.size()
                             ? bound_of(i)
                             : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back({so_far, bound});
  }
  metric.histogram.sample_count = so_far;
  metric.histogram.sample_sum = sum;
  return metric;
}

ClientMetric Histogram(const RequestCounts::Method& method) {
  constexpr double kSecond = 1e9;
  return Histogram({{"method", method.name}}, method.buckets,
                   static_cast<double>(method.nanoseconds) / kSecond,
                   [](size_t i) { return RequestCounts::kBounds[i]; });
}

template <int64_t first, int shift, size_t num_bounds, int64_t per_unit>
ClientMetric Histogram(
    Labels labels,
    const SizeHistogram<first, shift, num_bounds, per_unit>& sizes) {
  return Histogram(std::move(labels), sizes.counts(), sizes.sum(),
                   sizes.BoundOf);
}

// Writes the families one by one: of a large scrape, all of them at a time
// would take many times the memory of the text.
class Writer {
 public:
  explicit Writer(std::string& text) : text_(text) {}

  // A family without metrics is left out.
  void Add(MetricType type, std::string name, std::string help,
           Metrics metrics) {
    if (metrics.empty()) return;
    AppendFamily({std::move(name), std::move(help), type, std::move(metrics)},
                 text_);
  }
  void AddCounter(std::string name, std::string help, int64_t value) {
    Add(MetricType::Counter, std::move(name), std::move(help),
        {Counter({}, value)});
  }
  template <typename Value>
  void AddGauge(std::string name, std::string help, Value value) {
    Add(MetricType::Gauge, std::move(name), std::move(help),
        {Gauge({}, value)});
  }

 private:
  std::string& text_;
};

// The series of all listeners, and of what stands for those that have none.
class ListenerWriter {
 public:
  ListenerWriter(const MetricsSnapshot& snapshot, Writer& writer)
      : snapshot_(snapshot), writer_(writer) {}

  void WriteAll() {
    WriteInfo();
    WriteGauges();
    WriteTotals();
    WriteCloses();
  }

 private:
  // Calls `f` with the id and the counts of each.
  template <typename F>
  void ForEach(F f) const {
    for (const ListenerValues& listener : snapshot_.listeners) {
      f(listener.id, listener.counts);
    }
    if (snapshot_.other) f(kOther, *snapshot_.other);
  }

  void WriteInfo() {
    Metrics metrics;
    metrics.reserve(snapshot_.listeners.size());
    for (const ListenerValues& listener : snapshot_.listeners) {
      Labels labels = {{"listener", listener.id},
                       {"address", EscapeNonUtf8(listener.address)},
                       {"handler", listener.handler}};
      for (const auto& [name, value] : listener.labels) {
        labels.push_back({name, value});
      }
      metrics.push_back(Gauge(std::move(labels), int64_t{1}));
    }
    writer_.Add(MetricType::Gauge, "portreeve_listener_info",
                "Where a listener listens, and what serves its connections.",
                std::move(metrics));
  }

  void Gauges(
      std::string name, std::string help,
      const std::function<std::optional<int64_t>(const ListenerCounts&)>&
          value_of) {
    Metrics metrics;
    metrics.reserve(snapshot_.listeners.size() + 1);
    ForEach([&](const std::string& id, const ListenerCounts& counts) {
      if (const auto value = value_of(counts)) {
        metrics.push_back(Gauge({{"listener", id}}, *value));
      }
    });
    writer_.Add(MetricType::Gauge, std::move(name), std::move(help),
                std::move(metrics));
  }

  void WriteGauges() {
    using Counts = ListenerCounts;
    Gauges("portreeve_listener_connections",
           "Connections whose descriptor is open.",
           [](const Counts& counts) { return counts.connections; });
    Gauges("portreeve_listener_max_connections",
           "How many connections there may be at a time.",
           [](const Counts& counts) { return counts.max_connections; });
    using Number = std::optional<int64_t>;
    Gauges("portreeve_listener_backlog_connections",
           "Connections that wait in the kernel to be accepted.",
           [](const Counts& counts) -> Number {
             if (!counts.backlog) return std::nullopt;
             return counts.backlog->num_waiting;
           });
    Gauges("portreeve_listener_backlog_limit",
           "How many connections may wait in the kernel.",
           [](const Counts& counts) -> Number {
             if (!counts.backlog) return std::nullopt;
             return counts.backlog->limit;
           });
    Gauges("portreeve_listener_unclaimed_connections",
           "Connections that are offered to workers, and taken by none yet.",
           [](const Counts& counts) { return counts.unclaimed; });
    Gauges("portreeve_listener_workers",
           "Clients that serve the connections of a remote listener.",
           [](const Counts& counts) { return counts.workers; });
  }

  void Counters(std::string name, std::string help,
                int64_t ListenerCounts::*total) {
    Metrics metrics;
    metrics.reserve(snapshot_.listeners.size() + 1);
    ForEach([&](const std::string& id, const ListenerCounts& counts) {
      metrics.push_back(Counter({{"listener", id}}, counts.*total));
    });
    writer_.Add(MetricType::Counter, std::move(name), std::move(help),
                std::move(metrics));
  }

  void WriteTotals() {
    Counters("portreeve_listener_accepted_total",
             "Connections accepted, dropped ones included.",
             &ListenerCounts::accepted_total);
    Counters("portreeve_listener_dropped_total",
             "Connections closed at once, without a handler.",
             &ListenerCounts::dropped_total);
    Counters("portreeve_listener_handler_errors_total", "Handlers that raised.",
             &ListenerCounts::handler_errors_total);
    Counters("portreeve_listener_limit_reached_total",
             "Times that accepting stopped at max_connections.",
             &ListenerCounts::limit_reached_total);
    Counters("portreeve_listener_accept_errors_total",
             "Times that a connection could not be accepted, or not watched.",
             &ListenerCounts::accept_errors_total);
    Counters("portreeve_listener_received_bytes_total",
             "Bytes read from clients.", &ListenerCounts::received_bytes_total);
    Counters("portreeve_listener_sent_bytes_total",
             "Bytes that the kernel took for clients.",
             &ListenerCounts::sent_bytes_total);
  }

  void WriteCloses() {
    Metrics closed;
    Metrics unreached;
    ForEach([&](const std::string& id, const ListenerCounts& counts) {
      for (int i = 0; i < v1::CloseReason_ARRAYSIZE; ++i) {
        const auto reason = static_cast<v1::CloseReason>(i);
        const int64_t count = counts.closes.count(reason);
        if (count == 0) continue;
        const std::string text =
            LabelOf(v1::CloseReason_Name(reason), "CLOSE_REASON_");
        closed.push_back(Counter({{"listener", id}, {"reason", text}}, count));
      }
      // Nothing fails for kNone, whose name is that of kOther.
      constexpr int kFirst = static_cast<int>(Reason::kNone) + 1;
      for (int i = kFirst; i <= static_cast<int>(Reason::kOther); ++i) {
        const auto reason = static_cast<Reason>(i);
        const int64_t count = counts.closes.failures(reason);
        if (count == 0) continue;
        const std::string text = LabelOf(FailureReasonName(reason), "");
        unreached.push_back(
            Counter({{"listener", id}, {"reason", text}}, count));
      }
    });
    writer_.Add(MetricType::Counter,
                "portreeve_listener_connections_closed_total",
                "Connections closed, dropped ones included, by close reason.",
                std::move(closed));
    writer_.Add(MetricType::Counter, "portreeve_upstream_connect_errors_total",
                "Connections whose upstream could not be connected to, by why.",
                std::move(unreached));
  }

  const MetricsSnapshot& snapshot_;
  Writer& writer_;
};

// Writes the histograms of connections: those of listeners, or those of the
// daemon.
class HistogramWriter {
 public:
  void WriteAll(const MetricsSnapshot& snapshot, Writer& writer) {
    for (const ListenerValues& listener : snapshot.listeners) {
      if (listener.histograms == nullptr) continue;
      const ConnectionHistograms& histograms = *listener.histograms;
      Take({{"listener", listener.id}}, histograms,
           listener.handler == "forward" || histograms.connect.total() > 0);
    }
    if (snapshot.other_histograms) {
      Take({{"listener", kOther}}, *snapshot.other_histograms, true);
    }
    if (snapshot.daemon && snapshot.daemon->histograms) {
      Take({}, *snapshot.daemon->histograms, true);
    }
    writer.Add(MetricType::Histogram, "portreeve_connection_duration_seconds",
               "How long connections have lived, dropped ones included.",
               std::move(durations_));
    writer.Add(MetricType::Histogram, "portreeve_connection_bytes",
               "Bytes of a connection, dropped ones included, by direction.",
               std::move(bytes_));
    writer.Add(MetricType::Histogram,
               "portreeve_upstream_connect_duration_seconds",
               "How long connecting to an upstream took, where it did succeed.",
               std::move(connects_));
  }

 private:
  void Take(const Labels& labels, const ConnectionHistograms& histograms,
            bool has_upstream) {
    durations_.push_back(Histogram(labels, histograms.duration));
    Labels received = labels;
    received.push_back({"direction", "received"});
    bytes_.push_back(Histogram(std::move(received), histograms.received));
    Labels sent = labels;
    sent.push_back({"direction", "sent"});
    bytes_.push_back(Histogram(std::move(sent), histograms.sent));
    if (has_upstream)
      connects_.push_back(Histogram(labels, histograms.connect));
  }

  Metrics durations_;
  Metrics bytes_;
  Metrics connects_;
};

void WriteLife(const DaemonValues& daemon, Writer& writer) {
  writer.Add(
      MetricType::Gauge, "portreeve_build_info",
      "The daemon's version, and which of its lives this is.",
      {Gauge({{"version", daemon.version}, {"instance_id", daemon.instance_id}},
             int64_t{1})});
  writer.AddGauge("portreeve_start_time_seconds",
                  "When the daemon was started, since 1970.",
                  daemon.start_time);
  writer.AddGauge("portreeve_ready",
                  "1 while the daemon serves, 0 while it starts or stops.",
                  int64_t{daemon.ready});
}

void WriteListenersByState(const DaemonValues& daemon, Writer& writer) {
  Metrics metrics;
  for (int i = 1; i < v1::ListenerState_ARRAYSIZE; ++i) {
    const std::string& name =
        v1::ListenerState_Name(static_cast<v1::ListenerState>(i));
    metrics.push_back(Gauge({{"state", LabelOf(name, "LISTENER_STATE_")}},
                            daemon.listeners[static_cast<size_t>(i)]));
  }
  writer.Add(MetricType::Gauge, "portreeve_listeners",
             "Listeners that are not deleted, by state.", std::move(metrics));
  writer.AddGauge("portreeve_metrics_listeners_folded",
                  "Listeners without series of their own, in \"_other\".",
                  daemon.folded);
}

void WriteDialled(const DaemonValues& daemon, Writer& writer) {
  writer.AddGauge("portreeve_dialled_connections",
                  "Connections that clients dialled, and that are open.",
                  daemon.dialled_total - daemon.dialled_closes.total());
  writer.AddCounter("portreeve_dialled_total", "Dials that got a connection.",
                    daemon.dialled_total);
  Metrics metrics;
  for (int i = 0; i < v1::CloseReason_ARRAYSIZE; ++i) {
    const auto reason = static_cast<v1::CloseReason>(i);
    const int64_t count = daemon.dialled_closes.count(reason);
    if (count == 0) continue;
    metrics.push_back(Counter(
        {{"reason", LabelOf(v1::CloseReason_Name(reason), "CLOSE_REASON_")}},
        count));
  }
  writer.Add(MetricType::Counter, "portreeve_dialled_closed_total",
             "Dialled connections closed, by close reason.",
             std::move(metrics));
}

// Whether the log has events of this kind; the others are made for one watcher.
bool IsLogged(v1::EventKind kind) {
  return kind != v1::EVENT_KIND_UNSPECIFIED &&
         kind != v1::EVENT_KIND_SNAPSHOT_DONE && kind != v1::EVENT_KIND_GAP &&
         kind != v1::EVENT_KIND_PROGRESS;
}

void WriteEvents(const DaemonValues& daemon, Writer& writer) {
  Metrics metrics;
  for (int i = 0; i < v1::EventKind_ARRAYSIZE; ++i) {
    const auto kind = static_cast<v1::EventKind>(i);
    if (!v1::EventKind_IsValid(i) || !IsLogged(kind)) continue;
    metrics.push_back(
        Counter({{"kind", LabelOf(v1::EventKind_Name(kind), "EVENT_KIND_")}},
                daemon.events[static_cast<size_t>(i)]));
  }
  writer.Add(MetricType::Counter, "portreeve_events_total", "Events, by kind.",
             std::move(metrics));
  writer.AddCounter(
      "portreeve_events_dropped_by_watchers_total",
      "Events that watchers were too slow for, as their gaps say.",
      daemon.watches.lost_total);
  writer.AddGauge("portreeve_watchers", "Watches of events that are open.",
                  daemon.watches.open);
}

void WriteRequests(const DaemonValues& daemon, Writer& writer) {
  Metrics requests;
  Metrics durations;
  for (const RequestCounts::Method& method : daemon.requests) {
    bool any = false;
    for (size_t code = 0; code < method.by_code.size(); ++code) {
      if (method.by_code[code] == 0) continue;
      any = true;
      requests.push_back(Counter(
          {{"method", method.name},
           {"code",
            absl::StatusCodeToString(static_cast<absl::StatusCode>(code))}},
          method.by_code[code]));
    }
    if (any) durations.push_back(Histogram(method));
  }
  writer.Add(MetricType::Counter, "portreeve_control_requests_total",
             "Requests of gRPC clients that were answered, by gRPC's code.",
             std::move(requests));
  writer.Add(MetricType::Histogram,
             "portreeve_control_request_duration_seconds",
             "How long requests took until their answer, or streams lasted.",
             std::move(durations));
}

void WriteResources(const DaemonValues& daemon, Writer& writer) {
  if (daemon.access_log) {
    writer.AddCounter("portreeve_access_log_lines_total",
                      "Lines written to the access log.",
                      daemon.access_log->lines_total);
    writer.AddCounter("portreeve_access_log_dropped_total",
                      "Lines that the access log had no room for.",
                      daemon.access_log->dropped_total);
  }
  writer.AddGauge("portreeve_file_descriptors",
                  "Descriptors that connections have, or have set aside.",
                  daemon.descriptors);
  writer.AddGauge("portreeve_file_descriptors_limit",
                  "How many of those there may be.", daemon.descriptors_limit);
  Metrics lags;
  for (size_t i = 0; i < daemon.loop_lags.size(); ++i) {
    lags.push_back(Gauge({{"loop", std::to_string(i)}}, daemon.loop_lags[i]));
  }
  writer.Add(MetricType::Gauge, "portreeve_loop_lag_seconds",
             "How long a function that was posted to a loop waits.",
             std::move(lags));
}

void WriteProcess(const ProcessValues& process, Writer& writer) {
  ClientMetric cpu;
  cpu.counter.value = process.cpu_seconds;
  writer.Add(MetricType::Counter, "process_cpu_seconds_total",
             "Time that the process has run, user and system.", {cpu});
  writer.AddGauge("process_resident_memory_bytes",
                  "Memory that the process takes up.", process.resident_bytes);
  writer.AddGauge("process_open_fds", "Descriptors that are open.",
                  process.open_fds);
  writer.AddGauge("process_max_fds", "How many descriptors may be open.",
                  process.max_fds);
  writer.AddGauge("process_start_time_seconds",
                  "When the process was started, since 1970.",
                  process.start_time);
}

}  // namespace

std::string MetricsText(const MetricsSnapshot& snapshot) {
  std::string text;
  Writer writer(text);
  if (snapshot.daemon) {
    WriteLife(*snapshot.daemon, writer);
    WriteListenersByState(*snapshot.daemon, writer);
  }
  ListenerWriter(snapshot, writer).WriteAll();
  HistogramWriter().WriteAll(snapshot, writer);
  if (snapshot.daemon) {
    WriteDialled(*snapshot.daemon, writer);
    WriteEvents(*snapshot.daemon, writer);
    WriteRequests(*snapshot.daemon, writer);
    WriteResources(*snapshot.daemon, writer);
    WriteProcess(snapshot.daemon->process, writer);
  }
  return text;
}

}  // namespace portreeve::server
