// WholeSnapshot: a snapshot that has a value of every metric.
#ifndef PORTREEVE_TESTS_SERVER_METRICS_WHOLE_SNAPSHOT_H_
#define PORTREEVE_TESTS_SERVER_METRICS_WHOLE_SNAPSHOT_H_

#include <chrono>
#include <cstdint>
#include <memory>

#include "server/metrics/metrics_snapshot.h"

namespace portreeve::server {

inline ListenerValues WholeForward() {
  ListenerValues listener;
  listener.id = "db";
  listener.address = "tcp:0.0.0.0:5432";
  listener.handler = "forward";
  listener.labels = {{"label_team", "core"}};
  ListenerCounts& counts = listener.counts;
  counts.connections = 3;
  counts.max_connections = 10000;
  counts.accepted_total = 1'234'567'890'123;
  counts.dropped_total = 5;
  counts.handler_errors_total = 6;
  counts.limit_reached_total = 7;
  counts.accept_errors_total = 8;
  counts.received_bytes_total = 9'007'199'254'740'991;  // 2^53 - 1.
  counts.sent_bytes_total = 10;
  counts.backlog = Backlog{9, 64};
  counts.closes.Count(v1::CLOSE_REASON_PEER_CLOSED);
  counts.closes.Count(v1::CLOSE_REASON_PEER_CLOSED);
  counts.closes.Count(v1::CLOSE_REASON_DROPPED);
  counts.closes.CountFailure(Reason::kConnectRefused);
  counts.closes.CountFailure(Reason::kOther);
  ConnectionHistograms histograms;
  histograms.CountEnd(0, 0, 0);
  histograms.CountEnd(1'000'000, 64, 65);
  histograms.CountEnd(1'500'000'000, 1024, 1'000'000);
  histograms.CountEnd(1'000'000'000'000'000, int64_t{1} << 34,
                      (int64_t{1} << 34) + 1);
  histograms.CountEnd(0, 0, 0);
  histograms.connect.Count(99'000);
  histograms.connect.Count(250'000);
  listener.histograms =
      std::make_shared<const ConnectionHistograms>(histograms);
  return listener;
}

inline ListenerValues WholeRemote() {
  ListenerValues listener;
  listener.id = "web";
  listener.address = "unix:/run/web.sock";
  listener.handler = "remote";
  listener.counts.max_connections = 100;
  listener.counts.unclaimed = 2;
  listener.counts.workers = 4;
  listener.histograms = std::make_shared<const ConnectionHistograms>();
  return listener;
}

inline MetricsSnapshot WholeSnapshot() {
  MetricsSnapshot snapshot;
  snapshot.listeners = {WholeForward(), WholeRemote()};
  ListenerCounts& other = snapshot.other.emplace();
  other.connections = 11;
  other.max_connections = 30;
  other.accepted_total = 12;
  snapshot.other_histograms.emplace().CountEnd(2'000'000, 5, 6);
  DaemonValues& daemon = snapshot.daemon.emplace();
  daemon.version = "1.2.3";
  daemon.instance_id = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
  daemon.start_time = 1'764'000'000.25;
  daemon.ready = true;
  daemon.listeners[v1::LISTENER_STATE_LISTENING] = 2;
  daemon.listeners[v1::LISTENER_STATE_CLOSED] = 1;
  daemon.folded = 1;
  daemon.dialled_total = 5;
  daemon.dialled_closes.Count(v1::CLOSE_REASON_HANDLER_DONE);
  for (size_t kind = 0; kind < daemon.events.size(); ++kind) {
    daemon.events[kind] = static_cast<int64_t>(100 + kind);
  }
  daemon.watches = {2, 40};
  RequestCounts requests({"/portreeve.v1.DaemonService/GetDaemon",
                          "/portreeve.v1.EventService/WatchEvents"});
  requests.Count(0, 0, std::chrono::microseconds(250));
  requests.Count(0, 0, std::chrono::milliseconds(1250));
  requests.Count(0, 7, std::chrono::hours(1));
  daemon.requests = requests.Read();
  daemon.access_log = AccessLogValues{13, 1};
  daemon.descriptors = 6;
  daemon.descriptors_limit = 900;
  daemon.loop_lags = {0.000125, 0};
  daemon.process = {12.5, 34'567'890, 21, 1024, 1'763'999'999.5};
  return snapshot;
}

}  // namespace portreeve::server

#endif  // PORTREEVE_TESTS_SERVER_METRICS_WHOLE_SNAPSHOT_H_
