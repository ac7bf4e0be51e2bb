// Shared: what the listeners and the dialled connections of a registry share.
#ifndef PORTREEVE_SERVER_REGISTRY_SHARED_H_
#define PORTREEVE_SERVER_REGISTRY_SHARED_H_

#include <cstdint>
#include <optional>
#include <string>

#include "lib/base/descriptor.h"
#include "lib/lane/lane.h"
#include "lib/net/descriptor_budget.h"
#include "portreeve/internal/v1/handover.pb.h"
#include "server/access/live_policy.h"
#include "server/control/descriptor_shares.h"
#include "server/events/connection_histograms.h"
#include "server/events/event_log.h"
#include "server/handlers/forward_loops.h"
#include "server/registry/access_log.h"
#include "server/registry/connection_table.h"
#include "server/registry/socket_keeper.h"

namespace portreeve::server {

// What the process is told that has gone on with the registry, of the
// connections that this one carries on.
// Threads: loop thread only.
class ConnectionReports {
 public:
  // One that is closed has left the table.
  virtual void OnClosed(const LiveConnection& live) = 0;
  // Its client has said `raised`, or a handler has failed; the connection may
  // be closed by then.  Without an outcome that process asks its own workers
  // for one.
  virtual void OnHandlerError(int64_t id, const std::string& listener,
                              const std::string& uid,
                              const std::string& message,
                              std::optional<HandlerErrorOutcome> outcome) = 0;
  // It takes connections over (OnMovedOn()).
  virtual bool TakesMore() const = 0;
  // One that this process has let go of, and whose descriptor is `fd`, goes on
  // there.  Where that process ends before it has it, the peer is reset.
  virtual void OnMovedOn(internal::v1::HandoverMovedOn record,
                         const std::string& to_write, Descriptor fd) = 0;

 protected:
  ~ConnectionReports() = default;
};

// Threads: loop thread only; `policy` and `loops`: any.
// Lifetime: each must outlive whoever has the Shared.
struct Shared {
  // The lanes on which the bytes of connections are carried.
  LaneSet& lanes;
  EventLog& events;
  // The bound on the descriptors of connections.
  DescriptorBudget& budget;
  // The bound on the listeners' own descriptors.
  ListenerDescriptors& descriptors;
  ConnectionTable& connections;
  const LivePolicy& policy;
  ForwardLoops& loops;
  // Who keeps the sockets of listeners; null: nobody.
  SocketKeeper* keeper = nullptr;
  // Where connections leave lines; null: nowhere.
  AccessLog* access_log = nullptr;
  // What the connections of all listeners count in; null: nothing.  Only then
  // each listener may have histograms of its own, too.
  ConnectionHistograms* histograms = nullptr;
  bool listeners_have_histograms = false;
  // Once the registry is handed over: who is told of its connections; null:
  // nobody.
  ConnectionReports* successor = nullptr;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_SHARED_H_
