// DaemonParts: what the daemon is made of, beside its loop and its process.
#ifndef PORTREEVE_SERVER_DAEMON_DAEMON_PARTS_H_
#define PORTREEVE_SERVER_DAEMON_DAEMON_PARTS_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/timestamp.pb.h"
#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/loop.h"
#include "lib/lane/loop_group.h"
#include "lib/net/descriptor_budget.h"
#include "portreeve/v1/daemon.pb.h"
#include "server/about/health_service.h"
#include "server/about/reflection_service.h"
#include "server/access/audit_log.h"
#include "server/access/gate.h"
#include "server/access/live_policy.h"
#include "server/api/timestamp.h"
#include "server/calls/connection_service.h"
#include "server/calls/daemon_service.h"
#include "server/calls/handler_service.h"
#include "server/calls/listener_service.h"
#include "server/control/descriptor_shares.h"
#include "server/control/request_counts.h"
#include "server/daemon/control_plane.h"
#include "server/daemon/descriptor_store.h"
#include "server/daemon/handover_port.h"
#include "server/daemon/http_pages.h"
#include "server/daemon/http_port.h"
#include "server/daemon/log_writer.h"
#include "server/daemon/notify.h"
#include "server/daemon/watchdog.h"
#include "server/events/event_log.h"
#include "server/metrics/metrics_source.h"
#include "server/registry/access_log.h"
#include "server/registry/given_sockets.h"
#include "server/registry/registry.h"
#include "server/state/state_store.h"
#include "server/stats/stats_service.h"
#include "server/upgrade/held_channel.h"
#include "server/upgrade/own_sockets.h"
#include "server/upgrade/upgrade_parts.h"
#include "server/watch/event_service.h"

namespace portreeve::server {

// The name by which health tells whether the state can be written.
inline constexpr char kStateService[] = "portreeve.state";

// Threads: all of it belongs to the loop, but where it says otherwise.
struct DaemonParts {
  // `on_upgrade` is called on the loop once a call waits in `upgrade_calls`.
  DaemonParts(Loop& loop, int num_loops, const DescriptorShares& shares,
              const LivePolicy& policy, Gate::Certificates certificates,
              AuditLog& audit, bool has_state,
              std::function<void()> on_upgrade);

  v1::Daemon Describe() const;

  // Tells that this process has taken over from that one.
  void BeginAfter(v1::Daemon::Predecessor before);

  // Ends all streams but those that carry connections, and refuses new ones.
  void BeginEndOfStreams();

  // What goes over to the next process.
  UpgradeParts ForUpgrade(OwnSockets& sockets, LogWriter& log);

  // Takes up what an earlier life of the daemon has left.
  absl::Status BeginStart(OpenedState opened);

  void KeepSocketsBy(Loop& loop, Notifier& notifier);

  // Has connections leave lines, which `write` takes.
  void LogAccessesTo(std::vector<std::string> label_keys,
                     AccessLog::Write write);

  // Gives the sockets that no listener was opened with, which are not to be
  // given to the next process either.
  GivenSockets TakeUnused();

  // Gives the bytes that are kept for listeners, connections and their history,
  // without connections that clients serve.
  int64_t AccountedMemory() const;

  // Nobody is there any more who could begin an upgrade: those who wait for
  // one, or ask for it, are told so.
  void RefuseUpgrades();

  // From now on clients are told that the daemon shuts down.
  void AnnounceShutdown();

  // Refuses new streams and ends the watches; returns when every stream has
  // ended, as all do whose clients read.
  Task<> EndStreams();

  std::vector<grpc::Service*> services();

  Loop& loop;
  std::unique_ptr<Watchdog> watchdog;  // Null where nobody asks for it.
  LoopGroup loops;
  EventLog events;
  DescriptorBudget budget;
  std::optional<DescriptorStore> store;  // With --fdstore.
  std::optional<AccessLog> access_log;   // With --access-log.
  Registry registry;
  Ivar<> first_signal;
  Ivar<> second_signal;
  Ivar<> handed_over;
  // Those that wait for an upgrade, until one begins.
  std::vector<UpgradeCall> upgrade_calls;
  bool upgrading = false;
  bool refuses_upgrades = false;
  bool streams_ended = false;
  DaemonLife life;
  // Of /metrics; null where nobody reads them.
  std::unique_ptr<RequestCounts> requests;

  Gate gate;
  ListenerService listener_service;
  ConnectionService connection_service;
  DaemonService daemon_service;
  HandlerService handler_service;
  EventService event_service;
  StatsService stats_service;
  HealthService health_service;
  ReflectionService reflection_service;
  std::unique_ptr<MetricsSource> metrics;  // Null where nobody reads it.

  // Health tells the same, but for the start.
  std::atomic<Readiness> readiness = Readiness::kStarting;

  // Of the process before this one, and of the one after it; null where there
  // is none.
  std::unique_ptr<HeldFollower> predecessor;
  v1::Daemon::Predecessor predecessor_facts;  // Without `connections`.
  std::unique_ptr<HeldReporter> successor;

  // Null without --handover; and who has come there, until an upgrade begins.
  std::unique_ptr<HandoverPort> handover_port;
  std::optional<Descriptor> taker;

  // Main thread only.
  std::unique_ptr<ControlPlane> plane;
  std::unique_ptr<HttpPort> http;  // Null without --http.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_DAEMON_PARTS_H_
