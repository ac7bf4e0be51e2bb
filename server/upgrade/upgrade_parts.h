// UpgradeParts: what of a daemon goes over to its next process.
#ifndef PORTREEVE_SERVER_UPGRADE_UPGRADE_PARTS_H_
#define PORTREEVE_SERVER_UPGRADE_UPGRADE_PARTS_H_

#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <functional>
#include <string>

#include "lib/base/loop.h"
#include "lib/lane/loop_group.h"
#include "server/control/request_counts.h"
#include "server/events/event_log.h"
#include "server/metrics/metrics_source.h"
#include "server/registry/registry.h"
#include "server/upgrade/opened_listeners.h"
#include "server/upgrade/own_sockets.h"

namespace portreeve::server {

// What a daemon has been before, and stays.
struct DaemonLife {
  int64_t generation = 0;  // How many times it was handed over before.
  google::protobuf::Timestamp start_time;
  std::string daemon_id;  // "" without a state.
  OpenedListeners opened;
};

// Lifetime: each must outlive whoever has the parts.
struct UpgradeParts {
  Loop& loop;
  LoopGroup& loops;
  EventLog& events;
  Registry& registry;
  OwnSockets& sockets;
  DaemonLife& life;
  // Null where nobody reads them.
  MetricsSource* metrics = nullptr;
  RequestCounts* requests = nullptr;

  // Counts that others have, which each pair of functions gives, and adds to;
  // null: there are none.
  std::function<int64_t()> lost_events = nullptr;
  std::function<void(int64_t)> add_lost_events = nullptr;
  struct AccessLines {
    int64_t lines = 0;
    int64_t dropped = 0;
  };
  std::function<AccessLines()> access_lines = nullptr;
  std::function<void(const AccessLines&)> add_access_lines = nullptr;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_UPGRADE_UPGRADE_PARTS_H_
