#include "server/metrics/metrics_source.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <new>
#include <set>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "lib/net/address.h"
#include "lib/net/where.h"
#include "server/api/errors.h"
#include "server/events/saved_totals.h"
#include "server/metrics/metrics_text.h"

namespace portreeve::server {
namespace {

double Seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

std::string AddressOf(const ListenerResource& listener) {
  if (const AnyAddress* const address = listener.listening_on()) {
    return ToString(*address);
  }
  return std::visit([](const auto& where) { return ToString(where); },
                    listener.spec().where_to_listen());
}

std::string HandlerOf(const CheckedSpec& spec) {
  if (spec.forward() != nullptr) return "forward";
  if (spec.remote() != nullptr) return "remote";
  return spec.message().handler().has_echo() ? "echo" : "discard";
}

}  // namespace

// A scrape that is under way.  The loop has it until it posts it to the
// executor.
struct MetricsSource::Run {
  std::set<std::string> wanted;  // None: all.
  asio::any_io_executor executor;
  Done done;
  TimePoint posted;
  bool has_begun = false;
  MetricsSnapshot snapshot;
  // The id of the last one whose turn it was; "" before the first.
  std::string last;
  // Those that were deleted before their turn, and that are in it.
  std::set<std::string> taken_early;
  bool is_incomplete = false;  // There was no memory for one of them.
};

MetricsSource::MetricsSource(asio::io_context& loop, Registry& registry,
                             const EventLog& events,
                             const DescriptorBudget& budget, Options options)
    : loop_(loop),
      registry_(registry),
      events_(events),
      budget_(budget),
      options_(std::move(options)),
      own_series_(options_.max_listeners) {
  for (asio::io_context* const other : options_.other_loops) {
    lags_.emplace_back(*other, options_.now);
  }
  registry_.OnForgotten(
      [this](const Resource& listener) { OnForgotten(listener); });
}

MetricsSource::~MetricsSource() {
  registry_.OnForgotten(nullptr);
  for (const SharedRun& run : runs_) {
    Fail(run, ShuttingDown());
  }
}

void MetricsSource::Scrape(std::vector<std::string> listeners,
                           asio::any_io_executor executor, Done done) {
  auto run = std::make_shared<Run>();
  run->wanted.insert(std::make_move_iterator(listeners.begin()),
                     std::make_move_iterator(listeners.end()));
  run->executor = std::move(executor);
  run->done = std::move(done);
  run->posted = options_.now();
  PostStep(run);
}

void MetricsSource::PostStep(const SharedRun& run) {
  asio::post(loop_, [this, run, alive = std::weak_ptr<const bool>(alive_)] {
    if (alive.expired()) {
      if (!run->has_begun) Fail(run, ShuttingDown());  // Else it has failed.
      return;
    }
    try {
      if (run->is_incomplete) throw std::bad_alloc();
      Step(run);
    } catch (const std::bad_alloc&) {
      runs_.remove(run);
      Fail(run, absl::ResourceExhaustedError("there is no memory for it"));
    }
  });
}

void MetricsSource::Step(const SharedRun& run) {
  if (!run->has_begun) Begin(run);
  int listeners = 0;
  int64_t connections = 0;
  while (const Resource listener = Next(*run)) {
    if (listeners == options_.listeners_of_step ||
        connections >= options_.connections_of_step) {
      return PostStep(run);
    }
    run->last = listener->id();
    ++listeners;
    connections += Take(*run, *listener);
  }
  Finish(run);
}

void MetricsSource::Begin(const SharedRun& run) {
  run->has_begun = true;
  runs_.push_back(run);
  if (!run->wanted.empty()) return;
  run->snapshot.daemon = ValuesOfDaemon(*run);
  if (!own_series_.has_folded()) return;
  run->snapshot.other = retired_;
  run->snapshot.other_histograms = retired_histograms_;
}

DaemonValues MetricsSource::ValuesOfDaemon(const Run& run) {
  DaemonValues values;
  values.version = options_.version;
  values.instance_id = events_.instance_id();
  values.start_time = options_.start_time();
  values.ready = options_.is_ready();
  values.dialled_total = registry_.dialler().connected_total();
  values.dialled_closes = registry_.dialler().closes();
  if (registry_.histograms() != nullptr && !options_.histograms_of_listeners) {
    values.histograms = *registry_.histograms();
  }
  for (int i = 0; i < v1::EventKind_ARRAYSIZE; ++i) {
    values.events[static_cast<size_t>(i)] =
        events_.total(static_cast<v1::EventKind>(i));
  }
  values.watches = options_.watches();
  if (options_.access_log) values.access_log = options_.access_log();
  values.descriptors = budget_.num_taken();
  values.descriptors_limit = budget_.limit();
  values.loop_lags.push_back(Seconds(options_.now() - run.posted));
  for (LoopLag& lag : lags_) lag.Post();
  return values;
}

ListenerValues MetricsSource::ValuesOf(const ListenerResource& listener) const {
  ListenerValues values;
  values.id = listener.id();
  values.address = AddressOf(listener);
  values.handler = HandlerOf(listener.spec());
  const auto& labels = listener.spec().message().labels();
  for (const MetricsLabel& label : options_.labels) {
    const auto found = labels.find(label.key);
    if (found == labels.end()) continue;
    values.labels.emplace_back(label.name, found->second);
  }
  values.counts = listener.Counts();
  if (const ConnectionHistograms* const own = listener.histograms()) {
    values.histograms = std::make_shared<const ConnectionHistograms>(*own);
  }
  return values;
}

MetricsSource::Resource MetricsSource::Next(Run& run) const {
  const Registry::Listeners& listeners = registry_.listeners();
  if (run.wanted.empty()) {
    auto it = listeners.upper_bound(run.last);
    while (it != listeners.end() && run.taken_early.count(it->first) > 0) ++it;
    return it == listeners.end() ? nullptr : it->second;
  }
  for (auto it = run.wanted.upper_bound(run.last); it != run.wanted.end();
       ++it) {
    const auto found = listeners.find(*it);
    if (found == listeners.end() || run.taken_early.count(*it) > 0) continue;
    return found->second;
  }
  return nullptr;
}

void MetricsSource::AddHistograms(const ListenerResource& listener,
                                  std::optional<ConnectionHistograms>& sum) {
  const ConnectionHistograms* const own = listener.histograms();
  if (own == nullptr) return;
  if (!sum) sum.emplace();
  sum->Add(*own);
}

int64_t MetricsSource::Take(Run& run, const ListenerResource& listener) {
  if (run.snapshot.daemon) {
    ++run.snapshot.daemon->listeners[static_cast<size_t>(listener.state())];
  }
  if (!run.wanted.empty() || own_series_.Has(listener.uid())) {
    run.snapshot.listeners.push_back(ValuesOf(listener));
    return run.snapshot.listeners.back().counts.connections;
  }
  const ListenerCounts counts = listener.Counts();
  if (!run.snapshot.other) run.snapshot.other.emplace();
  Add(counts, *run.snapshot.other);
  AddHistograms(listener, run.snapshot.other_histograms);
  ++run.snapshot.daemon->folded;
  return counts.connections;
}

void MetricsSource::Finish(const SharedRun& run) {
  runs_.remove(run);
  if (run->snapshot.daemon) {
    for (const LoopLag& lag : lags_) {
      run->snapshot.daemon->loop_lags.push_back(Seconds(lag.Read()));
    }
  }
  asio::post(run->executor, [run, process = options_.process,
                             requests = options_.requests] {
    absl::StatusOr<std::string> text;
    try {
      if (run->snapshot.daemon) {
        run->snapshot.daemon->process = process();
        if (requests) run->snapshot.daemon->requests = requests->Read();
      }
      text = MetricsText(run->snapshot);
    } catch (const std::bad_alloc&) {
      text = absl::ResourceExhaustedError("there is no memory for it");
    }
    run->done(std::move(text));
  });
}

void MetricsSource::Fail(const SharedRun& run, absl::Status status) {
  asio::post(run->executor,
             [run, status = std::move(status)] { run->done(status); });
}

void MetricsSource::OnForgotten(const Resource& listener) {
  for (const SharedRun& run : runs_) {
    try {
      TakeEarly(*run, *listener);
    } catch (const std::bad_alloc&) {
      run->is_incomplete = true;
    }
  }
  // It has no connections any more.
  if (own_series_.Forget(listener->uid())) {
    Add(TotalsOf(listener->Counts()), retired_);
    AddHistograms(*listener, retired_histograms_);
  }
}

// A scrape that is under way, and had it before it, is not to miss it.
void MetricsSource::TakeEarly(Run& run, const ListenerResource& listener) {
  const bool is_wanted =
      run.wanted.empty() || run.wanted.count(listener.id()) > 0;
  if (!is_wanted || listener.id() <= run.last) return;
  if (run.taken_early.insert(listener.id()).second) Take(run, listener);
}

internal::v1::MetricsTotals MetricsSource::SaveTotals() const {
  internal::v1::MetricsTotals totals;
  for (const std::string& uid : own_series_.own()) totals.add_own_uids(uid);
  for (const std::string& uid : own_series_.folded()) {
    totals.add_folded_uids(uid);
  }
  totals.set_has_folded(own_series_.has_folded());
  *totals.mutable_retired() = ToTotals(retired_);
  if (retired_histograms_) {
    *totals.mutable_retired()->mutable_connections() =
        ToTotals(*retired_histograms_);
  }
  return totals;
}

void MetricsSource::RestoreTotals(const internal::v1::MetricsTotals& totals) {
  own_series_.Restore(
      {totals.own_uids().begin(), totals.own_uids().end()},
      {totals.folded_uids().begin(), totals.folded_uids().end()},
      totals.has_folded());
  retired_ = FromTotals(totals.retired());
  if (totals.retired().has_connections() && options_.histograms_of_listeners) {
    retired_histograms_ = FromTotals(totals.retired().connections());
  }
}

}  // namespace portreeve::server
