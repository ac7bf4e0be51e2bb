// MetricsSource: the answer to a scrape of /metrics.
#ifndef PORTREEVE_SERVER_METRICS_METRICS_SOURCE_H_
#define PORTREEVE_SERVER_METRICS_METRICS_SOURCE_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/asio.h"
#include "lib/base/time_source.h"
#include "lib/net/descriptor_budget.h"
#include "portreeve/internal/v1/totals.pb.h"
#include "server/control/request_counts.h"
#include "server/events/connection_histograms.h"
#include "server/events/event_log.h"
#include "server/metrics/loop_lag.h"
#include "server/metrics/metrics_labels.h"
#include "server/metrics/metrics_snapshot.h"
#include "server/metrics/own_series.h"
#include "server/metrics/process_values.h"
#include "server/registry/listener_resource.h"
#include "server/registry/registry.h"

namespace portreeve::server {

// Reads what the daemon counts anyway, at the scrape, in steps of the loop that
// are short, and writes the text elsewhere.
//
// What of a scrape is true at the same time:
// - All values of one listener are of one moment.
// - Every listener that is there when the scrape begins is in it once, as it
//   was when its turn came; or when it was deleted, if that was before.  A
//   connection belongs to one listener for good, so that no sum over listeners
//   counts it twice or loses it.
// - What is said of the daemon as a whole is of the moment at which the scrape
//   began, but for the counts of listeners, which are those of the listeners in
//   it; requests, the access log and the process are read on their own.
//   Listeners come later by a few milliseconds: events_total may be less than
//   the sum of what they have accepted.
// Counters never become less.  Those of a listener end with it; what it had in
// the sum of those without series of their own stays there.
//
// Threads: loop thread only, but for Scrape().
// Lifetime: what it is made of must outlive it, the requests and the process
// also what is posted to executors; it must outlive all calls of Scrape().
class MetricsSource {
 public:
  struct Options {
    std::vector<MetricsLabel> labels;
    // How many listeners have series of their own at a time.
    size_t max_listeners = OwnSeries::kDefault;
    // Whether each listener has histograms; else the daemon has, if there are
    // any.
    bool histograms_of_listeners = false;
    std::string version;

    // These four are called on the loop.  The last may be null: there is no
    // access log.
    std::function<double()> start_time = [] { return 0; };  // Since 1970.
    std::function<bool()> is_ready = [] { return true; };
    std::function<WatchValues()> watches = [] { return WatchValues(); };
    std::function<AccessLogValues()> access_log;

    const RequestCounts* requests = nullptr;  // Null: they are not counted.
    // The loops beside that of the registry.
    std::vector<asio::io_context*> other_loops;

    // A step takes so many listeners at most, and no other listener once it has
    // looked at so many connections, for their bytes.  So it takes less than 2
    // ms, and what else is ready may have to wait for two of them.
    int listeners_of_step = 250;
    int64_t connections_of_step = 10'000;

    // What is replaced in tests.  Threads: any.
    LoopLag::Clock now = [] {
      return TimePoint(std::chrono::steady_clock::now());
    };
    std::function<ProcessValues()> process = ReadProcessValues;
  };

  MetricsSource(asio::io_context& loop, Registry& registry,
                const EventLog& events, const DescriptorBudget& budget,
                Options options);
  MetricsSource(const MetricsSource&) = delete;
  MetricsSource& operator=(const MetricsSource&) = delete;
  // Fails the scrapes that are under way.
  ~MetricsSource();

  // Gives the text (server/metrics/metrics_text.h) of `listeners`, by id, and
  // of nothing else; if there are none, of everything.  Of listeners that were
  // asked for each has series of its own; one that is unknown has none.
  //
  // `done` is called once, on `executor`, where the text is written, too.
  // Errors: UNAVAILABLE where the source was destroyed, and RESOURCE_EXHAUSTED
  // where there was no memory.
  // Threads: any.
  using Done = std::function<void(absl::StatusOr<std::string>)>;
  void Scrape(std::vector<std::string> listeners,
              asio::any_io_executor executor, Done done);

  // Gives what only this object knows, for the daemon's next process: so that
  // no series of that one is less than it was here, and none is told twice.
  internal::v1::MetricsTotals SaveTotals() const;
  // Goes on from there, before the first scrape.
  void RestoreTotals(const internal::v1::MetricsTotals& totals);

 private:
  using Resource = std::shared_ptr<ListenerResource>;
  struct Run;
  using SharedRun = std::shared_ptr<Run>;

  void PostStep(const SharedRun& run);
  void Step(const SharedRun& run);
  void Begin(const SharedRun& run);
  DaemonValues ValuesOfDaemon(const Run& run);
  ListenerValues ValuesOf(const ListenerResource& listener) const;
  // Gives the next listener whose turn it is; null if there is none.
  Resource Next(Run& run) const;
  // Adds the histograms of `listener`, if it has any, to `sum`.
  static void AddHistograms(const ListenerResource& listener,
                            std::optional<ConnectionHistograms>& sum);
  // Gives how many connections it has.
  int64_t Take(Run& run, const ListenerResource& listener);
  void Finish(const SharedRun& run);
  static void Fail(const SharedRun& run, absl::Status status);

  void OnForgotten(const Resource& listener);
  void TakeEarly(Run& run, const ListenerResource& listener);

  asio::io_context& loop_;
  Registry& registry_;
  const EventLog& events_;
  const DescriptorBudget& budget_;
  const Options options_;
  std::vector<LoopLag> lags_;  // Of the other loops.
  OwnSeries own_series_;
  // What the listeners without series of their own had counted that are
  // deleted.
  ListenerCounts retired_;
  std::optional<ConnectionHistograms> retired_histograms_;
  std::list<SharedRun> runs_;  // That have begun.
  // Expires with this.
  const std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_METRICS_METRICS_SOURCE_H_
