// Registry: the listeners and connections of the daemon, by name.
#ifndef PORTREEVE_SERVER_REGISTRY_REGISTRY_H_
#define PORTREEVE_SERVER_REGISTRY_REGISTRY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/lane/lane.h"
#include "lib/net/descriptor_budget.h"
#include "portreeve/v1/connection.pb.h"
#include "portreeve/v1/listener.pb.h"
#include "server/access/live_policy.h"
#include "server/api/checked_spec.h"
#include "server/api/convert.h"
#include "server/api/listener_draft.h"
#include "server/api/page_token.h"
#include "server/control/descriptor_shares.h"
#include "server/events/event_log.h"
#include "server/handlers/forward_loops.h"
#include "server/registry/awaited.h"
#include "server/registry/connection_table.h"
#include "server/registry/dialler.h"
#include "server/registry/listener_resource.h"
#include "server/registry/request_cache.h"
#include "server/registry/shared.h"

namespace portreeve::server {

// What the control plane does, without gRPC.  Listeners are given by id,
// connections by number (server/api/names.h), enums checked
// (server/api/convert.h).
//
// Threads: loop thread only.
// Lifetime: destroying it before the end of TearDown() is a CHECK failure if
// there is a listener whose handlers are not determined.  `lanes`, `events` and
// `budget` must outlive it.  Listeners beyond `listener_descriptors` take their
// descriptors from `budget`.
class Registry {
 public:
  // How many closed listeners are remembered, the newest ones; those whose
  // handlers are not determined come on top.
  static constexpr size_t kMaxClosed = 1000;

  Registry(Executor executor, LaneSet& lanes, EventLog& events,
           DescriptorBudget& budget, LivePolicy policy,
           int listener_descriptors = std::numeric_limits<int>::max());
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // Opens a listener within the policy, or only checks that it could be
  // (validate_only): then the answer has no uid and no status, and a name only
  // if an id was asked for.
  // Errors: REQUEST_ID_REUSED, LISTENER_CLOSED (that of the same request_id was
  // deleted), SHUTTING_DOWN, LISTENER_EXISTS, OUTSIDE_POLICY,
  // SELF_CONNECT, and those of bind and listen, with fields from the request's
  // root.
  absl::StatusOr<v1::Listener> Create(ListenerDraft draft);

  // All methods that follow have the error NOT_FOUND.
  absl::StatusOr<v1::Listener> Get(const std::string& id) const;
  absl::StatusOr<bool> IsClosed(const std::string& id) const;

  // Errors: INVALID_FIELD of page_size and page_token.
  absl::StatusOr<v1::ListListenersResponse> List(
      const v1::ListListenersRequest& request) const;

  // The request's mask is checked (server/api/spec.h).  With validate_only it
  // gives what would be; an update that changes nothing makes no event.
  // Errors: IMMUTABLE_FIELD, INVALID_FIELD, OUTSIDE_POLICY, SELF_CONNECT,
  // LISTENER_CLOSED.
  absl::StatusOr<v1::Listener> Update(const std::string& id,
                                      const v1::UpdateListenerRequest& request);

  // Closes at once, and answers when `wait_for` says.
  absl::StatusOr<Awaited<v1::Listener>> Close(const std::string& id,
                                              ExistingConnections existing,
                                              v1::WaitFor wait_for);
  absl::StatusOr<Awaited<v1::Listener>> CloseFinished(
      const std::string& id, v1::WaitFor wait_for) const;

  // Errors: LISTENER_OPEN.
  absl::Status Delete(const std::string& id);

  // `listener` is an id, or empty for all.
  // Errors: INVALID_FIELD of page_size and page_token.
  absl::StatusOr<v1::ListConnectionsResponse> ListConnections(
      const std::string& listener,
      const v1::ListConnectionsRequest& request) const;
  absl::StatusOr<v1::Connection> GetConnection(int64_t number) const;
  // `how` is kClose or kReset.
  absl::StatusOr<Awaited<v1::Connection>> CloseConnection(
      int64_t number, ExistingConnections how);

  // An open listener with a remote handler, for a worker to join.
  // Errors: NOT_FOUND, LISTENER_CLOSED, NOT_REMOTE.
  absl::StatusOr<std::shared_ptr<ListenerResource>> FindRemote(
      const std::string& id) const;

  // Takes a connection of a remote listener for a client, which must End() its
  // claim.
  // Errors: NOT_FOUND, NOT_REMOTE, ALREADY_ATTACHED.
  absl::StatusOr<std::shared_ptr<LiveConnection>> Attach(int64_t number);

  // The names of the open listeners that the policy, as it is now, would not
  // let be opened.
  std::vector<std::string> OutsidePolicy() const;

  Dialler& dialler() { return dialler_; }

  // Creates and dials no more; closes every listener with cause SHUTDOWN, and
  // leaves their connections.  Idempotent.
  void BeginShutdown();

  // Is determined when, after BeginShutdown(), no handler runs and no
  // connection, accepted or dialled, is open.
  Deferred<> AllHandlersDetermined() const {
    return all_handlers_determined_.deferred();
  }

  // Closes every connection, with reason SHUTDOWN.  It must be called after
  // BeginShutdown().
  void CloseAllConnections(ExistingConnections how);

  // Ends and joins everything.
  Task<> TearDown();

  // Gives the bytes of the answers that are kept for their request_id.
  size_t RequestMemoryUse() const { return requests_.MemoryUse(); }

  // Gives the bytes of the listeners, without their connections.
  size_t ListenerMemoryUse() const { return listener_memory_; }

  // Every listener that is remembered, by id, and every live connection, dials
  // that are under way included.
  using Listeners =
      absl::btree_map<std::string, std::shared_ptr<ListenerResource>>;
  const Listeners& listeners() const { return listeners_; }
  const ConnectionTable& connections() const { return connections_; }

 private:
  using Resource = std::shared_ptr<ListenerResource>;

  absl::StatusOr<Resource> Find(const std::string& id) const;
  // Whether it is that very listener, and not another one of its name.
  bool Remembers(const v1::Listener& listener) const;
  absl::Status CheckCreatable(const ListenerDraft& draft) const;
  // With an empty id it chooses one.
  absl::StatusOr<v1::Listener> Open(const std::string& wanted_id,
                                    SharedSpec spec);
  std::string ChooseId() const;
  // Gives an open listener that keeps `wanted` from being bound; null if there
  // is none.
  Resource HolderOf(const AnyWhereToListen& wanted) const;
  // `field` is where `spec` is in the request.
  absl::Status CheckPolicy(const CheckedSpec& spec,
                           const std::string& field) const;
  // Gives the errors of bind(2) that can be known without it.
  absl::Status CheckBindable(const AnyWhereToListen& wanted) const;
  absl::Status ExplainAddressInUse(const absl::Status& status,
                                   const AnyWhereToListen& wanted) const;
  void Add(const Resource& resource);
  using Running = std::list<Resource>;
  void OnHandlersDetermined(Running::iterator running);
  void ForgetOldest();
  void Forget(Resource resource);  // By value: it leaves the maps.
  void CheckAllDetermined();

  const Executor executor_;
  ListenerDescriptors listener_descriptors_;
  const LivePolicy policy_;
  ForwardLoops loops_;
  ConnectionTable connections_;
  const Shared shared_;  // Those four, and what the constructor was given.
  bool shutting_down_ = false;
  RequestCache requests_;
  const PageTokens page_tokens_;
  // Listeners are numbered in the order in which they were closed.
  int64_t last_closed_ = 0;
  const Ivar<> all_handlers_determined_;
  Dialler dialler_;
  Listeners listeners_;
  // Those of listeners_ that are closed and whose handlers are determined, by
  // close_number().
  absl::btree_map<int64_t, Resource> closed_determined_;
  // The listeners whose handlers are not determined, deleted ones included.
  Running running_;
  size_t listener_memory_ = 0;  // What listeners_ take.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_REGISTRY_H_
