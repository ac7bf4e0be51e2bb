#include "server/daemon/daemon_parts.h"

#include <unistd.h>

#include <utility>

#include "command_line/version.h"
#include "server/api/errors.h"
#include "server/api/utf8.h"
#include "server/handlers/pump.h"

namespace portreeve::server {
namespace {

// Gives the names of the services that do what the daemon is for.
std::vector<std::string> ServiceNames() {
  return {v1::ConnectionService::service_full_name(),
          v1::DaemonService::service_full_name(),
          v1::EventService::service_full_name(),
          v1::HandlerService::service_full_name(),
          v1::ListenerService::service_full_name(),
          v1::StatsService::service_full_name()};
}

std::vector<std::string> WithHealth(std::vector<std::string> services) {
  services.push_back(grpc::health::v1::Health::service_full_name());
  return services;
}

std::set<std::string> NamesOfHealth(bool has_state) {
  const auto list = WithHealth(ServiceNames());
  std::set<std::string> names(list.begin(), list.end());
  if (has_state) names.insert(kStateService);
  return names;
}

}  // namespace

DaemonParts::DaemonParts(Loop& loop, int num_loops,
                         const DescriptorShares& shares,
                         const LivePolicy& policy,
                         Gate::Certificates certificates, AuditLog& audit,
                         bool has_state, std::function<void()> on_upgrade)
    : loop(loop),
      loops(loop, num_loops),
      budget(shares.connections),
      registry(loop.executor(), loops.lanes(), events, budget, policy,
               shares.listeners),
      first_signal(loop.executor()),
      second_signal(loop.executor()),
      handed_over(loop.executor()),
      gate(policy, certificates, &audit),
      listener_service(loop, registry, gate),
      connection_service(loop, registry, gate),
      daemon_service(
          loop, gate, [this] { return Describe(); },
          [this, on_upgrade = std::move(on_upgrade)](UpgradeCall call) {
            if (refuses_upgrades) return call.answer(ShuttingDown());
            if (upgrading) return call.answer(UpgradeInProgress());
            upgrade_calls.push_back(std::move(call));
            on_upgrade();
          }),
      handler_service(loop, registry, gate),
      event_service(loop, events, registry, gate),
      stats_service(loop, events, registry, gate),
      health_service(loop, NamesOfHealth(has_state)),
      reflection_service(loop, WithHealth(ServiceNames()),
                         // What errors are made of.
                         {"google.rpc.Status", "google.rpc.ErrorInfo"}) {
  life.start_time = TimestampNow();
}

v1::Daemon DaemonParts::Describe() const {
  v1::Daemon daemon;
  daemon.set_daemon_id(life.daemon_id);
  daemon.set_instance_id(events.instance_id());
  daemon.set_generation(life.generation);
  daemon.set_pid(getpid());
  daemon.set_version(kVersion);
  *daemon.mutable_start_time() = life.start_time;
  daemon.set_listeners_failed(registry.num_failed());
  if (predecessor != nullptr && predecessor->is_there() &&
      registry.num_held() > 0) {
    v1::Daemon::Predecessor& before = *daemon.mutable_predecessor();
    before = predecessor_facts;
    before.set_connections(static_cast<int64_t>(registry.num_held()));
  }
  if (!registry.has_state()) return daemon;
  const StoreStatus& status = registry.state_status();
  v1::Daemon::Store& store = *daemon.mutable_store();
  store.set_directory(status.directory);
  store.set_healthy(status.healthy);
  store.set_message(ErrorText(status.message));
  store.set_bytes(status.bytes);
  store.set_records(status.listeners + status.requests);
  if (status.last_commit_time != 0) {
    *store.mutable_last_commit_time() = TimestampOf(status.last_commit_time);
  }
  return daemon;
}

void DaemonParts::BeginAfter(v1::Daemon::Predecessor before) {
  v1::Event event;
  v1::Event::DaemonUpgraded& upgraded = *event.mutable_daemon_upgraded();
  *upgraded.mutable_daemon() = Describe();
  upgraded.set_from_pid(before.pid());
  const auto all = static_cast<int64_t>(registry.connections().entries().size());
  upgraded.set_held(static_cast<int64_t>(registry.num_held()));
  upgraded.set_moved(all - upgraded.held());
  before.set_moved(upgraded.moved());
  predecessor_facts = std::move(before);
  events.Append(std::move(event), "");
}

absl::Status DaemonParts::BeginStart(OpenedState opened) {
  life.daemon_id = opened.contents.daemon_id;
  return registry.BeginStart(std::move(opened), [this](bool healthy) {
    health_service.SetServing(kStateService, healthy);
  });
}

void DaemonParts::KeepSocketsBy(Loop& loop, Notifier& notifier) {
  store.emplace(loop.context(), notifier);
  registry.KeepSocketsBy(*store);
}

void DaemonParts::LogAccessesTo(std::vector<std::string> label_keys,
                                AccessLog::Write write) {
  access_log.emplace(std::move(label_keys), std::move(write));
  registry.LogAccessesTo(*access_log);
}

GivenSockets DaemonParts::TakeUnused() {
  GivenSockets unused = registry.TakeUnused();
  if (!store) return unused;
  for (const auto& entry : unused.entries()) store->Discard(entry.id);
  return unused;
}

int64_t DaemonParts::AccountedMemory() const {
  // What a connection takes, without bytes of it that wait.
  constexpr int64_t kOfConnection = 4 << 10;
  const auto connections =
      static_cast<int64_t>(registry.connections().entries().size());
  return static_cast<int64_t>(events.MemoryUse() + registry.RequestMemoryUse() +
                              registry.ListenerMemoryUse()) +
         Pump::held_in_memory() + connections * kOfConnection;
}

void DaemonParts::AnnounceShutdown() {
  readiness = Readiness::kShuttingDown;
  health_service.AnnounceShutdown();
}

void DaemonParts::RefuseUpgrades() {
  refuses_upgrades = true;
  for (const UpgradeCall& call : std::exchange(upgrade_calls, {})) {
    call.answer(ShuttingDown());
  }
  handover_port.reset();
  taker.reset();
}

void DaemonParts::BeginEndOfStreams() {
  Answers::Of(loop.context()).EndWaits();
  (void)event_service.EndStreams();
  (void)stats_service.EndStreams();
  (void)handler_service.EndStreams();
  // Those that have begun end with their connections.
  (void)connection_service.EndStreams();
  (void)health_service.EndStreams();
  (void)reflection_service.EndStreams();
}

UpgradeParts DaemonParts::ForUpgrade(OwnSockets& sockets, LogWriter& log) {
  UpgradeParts upgrade{loop, loops, events, registry, sockets, life};
  upgrade.metrics = metrics.get();
  upgrade.requests = requests.get();
  upgrade.lost_events = [this] { return event_service.lost_total(); };
  upgrade.add_lost_events = [this](int64_t count) {
    event_service.AddLost(count);
  };
  if (!access_log) return upgrade;
  upgrade.access_lines = [&log] {
    const LogWriter::AccessCounts counts = log.access_counts();
    return UpgradeParts::AccessLines{counts.lines, counts.dropped};
  };
  upgrade.add_access_lines = [&log](const UpgradeParts::AccessLines& lines) {
    log.AddAccessCounts({lines.lines, lines.dropped});
  };
  return upgrade;
}

Task<> DaemonParts::EndStreams() {
  const Deferred<> watches = event_service.EndStreams();
  const Deferred<> stats = stats_service.EndStreams();
  const Deferred<> workers = handler_service.EndStreams();
  const Deferred<> sockets = connection_service.EndStreams();
  const Deferred<> health = health_service.EndStreams();
  const Deferred<> reflection = reflection_service.EndStreams();
  co_await watches.Wait();
  co_await stats.Wait();
  co_await workers.Wait();
  co_await sockets.Wait();
  co_await health.Wait();
  co_await reflection.Wait();
  streams_ended = true;
}

std::vector<grpc::Service*> DaemonParts::services() {
  return {
      &listener_service, &connection_service,     &daemon_service,
      &handler_service,  &event_service,          &stats_service,
      &health_service,   reflection_service.v1(), reflection_service.v1alpha()};
}

}  // namespace portreeve::server
