#include "server/daemon/daemon_metrics.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "command_line/version.h"
#include "server/access/access_table.h"
#include "server/metrics/metrics_source.h"

namespace portreeve::server {
namespace {

// Gives the methods of the daemon's own services, as gRPC writes them.
std::vector<std::string> Methods() {
  std::vector<std::string> methods;
  for (const MethodAccess& access : AccessTable()) {
    methods.push_back(absl::StrCat("/", std::string(access.service), "/",
                                   std::string(access.method)));
  }
  return methods;
}

double SecondsOf(const google::protobuf::Timestamp& time) {
  constexpr double kNano = 1e-9;
  return static_cast<double>(time.seconds()) + kNano * time.nanos();
}

}  // namespace

void BeginMetrics(Loop& loop, const Flags& flags, const LogWriter& log,
                  DaemonParts& parts) {
  parts.requests = std::make_unique<RequestCounts>(Methods());
  MetricsSource::Options options;
  options.labels = flags.metrics_labels;
  options.max_listeners = static_cast<size_t>(flags.metrics_listeners);
  options.histograms_of_listeners =
      flags.metrics_histograms == HistogramScope::kListener;
  options.version = kVersion;
  // Of a process that takes over it is that of the first one.
  options.start_time = [&life = parts.life] {
    return SecondsOf(life.start_time);
  };
  options.is_ready = [&readiness = parts.readiness] {
    return readiness == Readiness::kReady;
  };
  options.watches = [&watches = parts.event_service] {
    return WatchValues{static_cast<int64_t>(watches.num_watchers()),
                       watches.lost_total()};
  };
  options.requests = parts.requests.get();
  if (!flags.access_log.empty()) {
    options.access_log = [&log] {
      const LogWriter::AccessCounts counts = log.access_counts();
      return AccessLogValues{counts.lines, counts.dropped};
    };
  }
  for (const auto& other : parts.loops.others()) {
    options.other_loops.push_back(&other->context());
  }
  parts.metrics = std::make_unique<MetricsSource>(
      loop.context(), parts.registry, parts.events, parts.budget,
      std::move(options));
}

}  // namespace portreeve::server
