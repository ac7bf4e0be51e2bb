// ListenerResource: one listener of the daemon, from its creation until it is
// forgotten.
#ifndef PORTREEVE_SERVER_REGISTRY_LISTENER_RESOURCE_H_
#define PORTREEVE_SERVER_REGISTRY_LISTENER_RESOURCE_H_

#include <cstdint>
#include <exception>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/base/deferred.h"
#include "lib/base/monitor.h"
#include "lib/serve/any_server.h"
#include "portreeve/v1/event.pb.h"
#include "portreeve/v1/listener.pb.h"
#include "server/api/checked_spec.h"
#include "server/events/close_counts.h"
#include "server/events/event_ring.h"
#include "server/events/listener_record.h"
#include "server/handlers/forward_loops.h"
#include "server/registry/listener_log.h"
#include "server/registry/shared.h"
#include "server/remote/worker_pool.h"

namespace portreeve::server {

// Owns the server, describes it, and turns what happens in it into events.
//
// Threads: loop thread only.
// Lifetime: destroying it before handlers_determined or the end of TearDown()
// is a CHECK failure.
class ListenerResource final : private ServerObserver {
 public:
  // Binds and listens.
  // Errors: those of AnyServer::Create(), with fields from `where_to_listen`.
  static absl::StatusOr<std::shared_ptr<ListenerResource>> Open(
      const Executor& executor, const Shared& shared, const std::string& id,
      SharedSpec spec);

  ListenerResource(const ListenerResource&) = delete;
  ListenerResource& operator=(const ListenerResource&) = delete;
  ~ListenerResource() override;

  const std::string& id() const { return id_; }
  const std::string& uid() const { return uid_; }
  const CheckedSpec& spec() const { return *spec_; }
  v1::Listener Describe() const { return ToProto(Record()); }
  // Gives the same with `spec` in the place of spec().
  v1::Listener DescribeWith(const CheckedSpec& spec) const;

  // Makes `spec` hold, whose where_to_listen must be the present one.  On an
  // error, which only listen(2) can give, nothing has changed.
  absl::Status Update(SharedSpec spec);

  // Does what AnyServer::CloseAs() does; the Deferred is determined when
  // Describe() shows the close.
  Deferred<> Close(ExistingConnections existing, CloseCause cause,
                   CloseReason reason);

  // Gives the bytes of memory that it takes, roughly, without its connections.
  size_t MemoryUse() const;

  bool is_closed() const { return server_->is_closed(); }
  bool has_connections() const { return !server_->connections().empty(); }
  const AnyAddress& listening_on() const { return server_->listening_on(); }

  // These are the server's, but each is determined when Describe() shows it.
  Deferred<> close_started() const { return close_started_.deferred(); }
  Deferred<> close_finished() const { return close_finished_.deferred(); }
  Deferred<> handlers_determined() const {
    return handlers_determined_.deferred();
  }

  // Gives the pool of the clients that serve its connections, if its handler is
  // remote.  It outlives every handler.
  WorkerPool& workers() { return workers_; }

  // The listener was deleted: appends that event, and no more from then on.
  void OnDeleted();
  bool is_deleted() const { return deleted_; }

  // Gives its place in the order of all closes, from 1 on; 0 until it has one.
  int64_t close_number() const { return close_number_; }
  void set_close_number(int64_t number) { close_number_ = number; }

  // Ends everything.
  Task<> TearDown() { return server_->TearDown(); }

 private:
  ListenerResource(const Executor& executor, const Shared& shared,
                   const std::string& id, SharedSpec spec);
  absl::Status Start();
  AnyHandler MakeHandler(const CheckedSpec& spec);
  AnyOnHandlerError MakeOnHandlerError(const CheckedSpec& spec);
  Task<> AskWorkers(int64_t connection_id, std::exception_ptr error,
                    Duration timeout);
  // Accepts if there may be clients now: a remote listener without a worker
  // accepts nothing, unless it drops what it accepts.
  void UpdateAccepting();
  // Lets the other listeners know whether and how it forwards, while it is
  // open.
  void UpdateForwardLoops();
  void CutStreams();
  // `failure` is null where there is none, or was no memory for it.
  void CountClose(const AnyConnection& connection,
                  const ConnectionFailure* failure);
  void OnMonitorError(std::exception_ptr error);
  // Gives what it is like now; the record refers to this object.
  ListenerRecord Record() const;
  void Append(v1::Event event);
  void AppendListener(v1::EventKind kind);
  void AppendAcceptFailed(int error_number, const std::string& message);

  void OnAccepted(const std::shared_ptr<AnyConnection>& connection) override;
  void OnDropped(const AnyConnection& connection) override;
  void OnClosed(const std::shared_ptr<AnyConnection>& connection) override;
  void OnHandlerError(const StreamConnection& connection,
                      std::exception_ptr error,
                      HandlerErrorOutcome outcome) override;
  void OnLimitReached(const AnyAddress& listening_on, int limit) override;
  void OnAcceptFailed(const AnyAddress& listening_on, int error_number,
                      int64_t count) override;
  void OnCloseStarted(CloseCause cause) override;
  void OnCloseFinished() override;
  void OnHandlersDetermined() override;

  const Executor executor_;
  const Shared shared_;
  const std::string id_;
  const SharedName name_;
  const std::string uid_;
  const int64_t create_time_;  // Nanoseconds since 1970, as close_time_.
  SharedSpec spec_;
  std::string encoded_listening_on_;
  bool deleted_ = false;
  int64_t close_number_ = 0;
  int64_t close_time_ = 0;  // 0: not closed yet.
  const Ivar<> close_started_;
  const Ivar<> close_finished_;
  const Ivar<> handlers_determined_;
  Monitor monitor_;  // The creator's, which logs.
  WorkerPool workers_;
  ListenerLog log_;
  CloseCounts closes_;
  const ForwardLoops::Id forward_id_;
  bool in_forward_loops_ = false;
  std::unique_ptr<AnyServer> server_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_LISTENER_RESOURCE_H_
