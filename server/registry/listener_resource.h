// ListenerResource: one listener of the daemon, from its creation until it is
// forgotten.
#ifndef PORTREEVE_SERVER_REGISTRY_LISTENER_RESOURCE_H_
#define PORTREEVE_SERVER_REGISTRY_LISTENER_RESOURCE_H_

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/deferred.h"
#include "lib/base/descriptor.h"
#include "lib/base/monitor.h"
#include "lib/serve/any_server.h"
#include "lib/serve/stream_connection.h"
#include "portreeve/internal/v1/handover.pb.h"
#include "portreeve/internal/v1/totals.pb.h"
#include "portreeve/v1/event.pb.h"
#include "portreeve/v1/listener.pb.h"
#include "server/api/checked_spec.h"
#include "server/events/close_counts.h"
#include "server/events/connection_histograms.h"
#include "server/events/connection_record.h"
#include "server/events/event_ring.h"
#include "server/events/listener_record.h"
#include "server/handlers/forward_loops.h"
#include "server/handlers/moving_connection.h"
#include "server/registry/listener_access_log.h"
#include "server/registry/listener_counts.h"
#include "server/registry/listener_log.h"
#include "server/registry/listener_setup.h"
#include "server/registry/shared.h"
#include "server/registry/upstream_counts.h"
#include "server/remote/worker_pool.h"

namespace portreeve::server {

// What tells a listener from every other one.
struct ListenerIdentity {
  std::string id;
  std::string uid;
  int64_t create_time = 0;  // Nanoseconds since 1970.
  v1::ListenerSource source = v1::LISTENER_SOURCE_CLIENT;
};

// Owns the server, describes it, and turns what happens in it into events.
//
// It is open from the success of Open() until it is closed.  One that is
// neither open nor closed is wanted all the same, and FAILED.
//
// Threads: loop thread only.
// Lifetime: `shared` outlives it.  Destroying one that was opened before
// handlers_determined or the end of TearDown() is a CHECK failure.
class ListenerResource final
    : private ServerObserver,
      public std::enable_shared_from_this<ListenerResource> {
 public:
  // Makes one that is not open.
  ListenerResource(const Executor& executor, const Shared& shared,
                   ListenerIdentity identity, SharedSpec spec);

  // Binds and listens at `where`: that of the spec, or the same with the port
  // that the kernel has chosen before; or listens on `socket`, which somebody
  // else has bound there, and whom a close leaves it to.  In the same step
  // Announce() or Hold() has to be called.  It must not be open or closed.
  // Errors: those of AnyServer::Create(), with fields from `where_to_listen`;
  // then Describe() shows nothing of it.
  absl::Status Open(const AnyWhereToListen& where,
                    std::optional<Descriptor> socket = std::nullopt);

  // Accepts from now on, and appends the event `kind`, of a listener.
  void Announce(v1::EventKind kind);

  // Accepts nothing, and tells nobody of it, until Announce() or Abandon().
  void Hold();

  // Closes one that nobody has been told of, and whatever has come to it.  No
  // event tells of that.
  void Abandon();

  // Makes one that is not open show what it was like in an earlier life of the
  // daemon: `status` of a closed listener, or else where it listened.
  void Restore(const v1::ListenerStatus& status);

  // Shows why it is not open; the listener must be FAILED.
  void SetFailure(const v1::ListenerFailure& failure);

  // These are for when another process of the daemon goes on with it; the loops
  // stand still then (LoopGroup::Freeze()).

  // Gives what that needs, but for what only the registry knows.  Its only
  // descriptor is listening_descriptor().  Nothing changes by that.
  internal::v1::HandoverListener Freeze() const;
  // Gives -1 where there is none.
  int listening_descriptor() const;
  // Tells nobody of anything that happens to it from now on, but
  // Shared::successor, and lets go of its socket; its connections go on.  Every
  // Deferred of it is determined, handlers_determined() when its connections
  // have ended.  One that was adopted, and is not owned, is given up so, too.
  void HandOver();

  // Makes one that was just made what it was there.  Until Own() it accepts
  // nothing, nobody is told of anything, and the kernel is asked for nothing by
  // which the other process would notice.
  // Errors: those of AnyServer::Adopt(), HANDOVER_DAMAGED.
  absl::Status Adopt(const internal::v1::HandoverListener& record,
                     Descriptor socket);
  // Serves from now on.
  void Own();

  // Its connections that the other process carries on (AnyServer::AddHeld()).
  bool may_hold() const;
  void AddHeld(std::shared_ptr<AnyConnection> connection);
  void OnHeldClosed(int64_t id);
  // One has tried to reach its upstream.
  void CountHeldUpstream(bool reached);
  // The handler of one has failed there; without an outcome workers are asked.
  void OnHeldHandlerError(int64_t id, const std::string& message,
                          std::optional<HandlerErrorOutcome> outcome);

  // Its connections that move.  After HandOver(), and before Own().
  void LetGo(DirectConnection& connection);
  absl::StatusOr<std::shared_ptr<DirectConnection>> AddMoved(
      ConnectionMover& mover, const FrozenConnection& frozen,
      std::vector<Descriptor> descriptors);
  // One of these is in the table.
  void OnMoved(const LiveConnection& live);

  // The same of one that a client serves, or waits for one: after HandOver();
  // and of a held one, whose claim is the new one, after Own().
  Descriptor LetGo(StreamConnection& connection);
  absl::StatusOr<std::shared_ptr<StreamConnection>> TakeMovedOn(
      const LiveConnection& held, FrozenStream frozen, Descriptor fd);

  ListenerResource(const ListenerResource&) = delete;
  ListenerResource& operator=(const ListenerResource&) = delete;
  ~ListenerResource() override;

  const std::string& id() const { return identity_.id; }
  const std::string& uid() const { return identity_.uid; }
  const SharedName& name() const { return name_; }
  v1::ListenerSource source() const { return identity_.source; }
  const CheckedSpec& spec() const { return *spec_; }
  // Gives what it is like now.  The record refers to what this object has, and
  // is valid until something about it changes.
  ListenerRecord Record() const;
  // Gives the same, with what the kernel has to be asked for.
  ListenerRecord RecordOfNow() const;
  const UpstreamCounts& upstream_counts() const { return upstream_counts_; }
  // Null: it has none of its own.
  const ConnectionHistograms* histograms() const { return histograms_.get(); }
  // Gives what it has counted, for the daemon's next process.
  internal::v1::ListenerTotals SaveTotals() const;
  // Goes on from what it had counted there, before it counts anything.  What a
  // server has counted goes with the server, and so only one that has none, and
  // was Restore()d, takes those numbers from here.
  void RestoreTotals(const internal::v1::ListenerTotals& totals);
  v1::ListenerState state() const;
  // Counts the bytes of each connection, and asks the kernel.
  ListenerCounts Counts() const;
  v1::Listener Describe() const { return ToProto(Record()); }
  EncodedListener DescribeEncoded() const { return Encode(Record()); }

  // Makes `spec` hold, whose where_to_listen must be the present one.  On an
  // error, which only listen(2) can give, nothing has changed.  One that is
  // FAILED stays so.
  absl::Status Update(SharedSpec spec);

  // Does what AnyServer::CloseAs() does; the Deferred is determined when
  // Describe() shows the close.
  Deferred<> Close(ExistingConnections existing, CloseCause cause,
                   CloseReason reason);

  // Gives the bytes of memory that it takes, roughly, without its connections.
  size_t MemoryUse() const;

  bool is_closed() const {
    return server_ != nullptr ? server_->is_closed()
                              : unopened_cause_.has_value();
  }
  bool is_failed() const { return server_ == nullptr && !unopened_cause_; }
  // Gives the accepted ones whose descriptor is open; null where there never
  // was a server.
  const AnyServer::Connections* connections() const {
    return server_ == nullptr ? nullptr : &server_->connections();
  }
  bool has_connections() const {
    return server_ != nullptr && !server_->connections().empty();
  }
  // Gives the address that the kernel gave it, also once it is closed; null
  // where it was not open in this life of the daemon.
  const AnyAddress* listening_on() const {
    return server_ != nullptr ? &server_->listening_on() : nullptr;
  }

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

  // A client has asked for the close, whatever has caused it.
  void WantClosed() { close_wanted_ = true; }
  bool is_close_wanted() const { return close_wanted_; }

  // Gives its place in the order of all closes, from 1 on; 0 until it has one.
  int64_t close_number() const { return close_number_; }
  void set_close_number(int64_t number) { close_number_ = number; }

  // Whether it is on disk that it is closed; what RegistryState notes.
  bool is_close_recorded() const { return close_recorded_; }
  void NoteCloseRecorded() { close_recorded_ = true; }

  // Ends everything.
  Task<> TearDown();

 private:
  // Gives those of a server of this listener.
  ServerOptions Options();
  absl::Status AdoptServer(const internal::v1::HandoverListener& record,
                           Descriptor socket);
  // Whether events are told of it.
  bool is_told_of() const { return !deleted_ && !handed_over_; }
  ListenerParts Parts();
  AnyHandler MakeHandler(const CheckedSpec& spec);
  AnyOnHandlerError MakeOnHandlerError(const CheckedSpec& spec);
  Task<> AskWorkers(int64_t connection_id, std::exception_ptr error,
                    Duration timeout);
  // Leaves `verdict` as it is unless a worker says RETURN.
  Task<> AskOfHeld(int64_t id, std::string message,
                   std::shared_ptr<HandlerErrorOutcome> verdict);
  void ApplyHeldHandlerError(int64_t id, const std::string& message,
                             HandlerErrorOutcome outcome);
  // Accepts if there may be clients now: a remote listener without a worker
  // accepts nothing, unless it drops what it accepts.
  void UpdateAccepting();
  // Lets the other listeners know whether and how it forwards, while it is
  // open.
  void UpdateForwardLoops();
  void CutStreams();
  // `failure` is null where there is none, or was no memory for it.
  void CountClose(v1::CloseReason reason, const ConnectionFailure* failure);
  // Counts a connection that is over, where there are histograms.
  void CountInHistograms(const ConnectionRecord& record);
  void CountTotals(ListenerRecord& record) const;
  std::optional<CloseCause> close_cause() const {
    return server_ != nullptr ? server_->close_cause() : unopened_cause_;
  }
  void FinishClose();
  void OnMonitorError(std::exception_ptr error);
  void Append(v1::Event event);
  void AppendListener(v1::EventKind kind);
  void AppendHandlerError(int64_t id, const std::string& message,
                          HandlerErrorOutcome outcome);
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
  const Shared& shared_;
  const ListenerIdentity identity_;
  const SharedName name_;
  SharedSpec spec_;
  std::string encoded_listening_on_;
  std::string encoded_failure_;
  int64_t opened_time_ = 0;  // Nanoseconds since 1970, as close_time_.
  bool announced_ = false;
  bool deleted_ = false;
  bool handed_over_ = false;
  // After that: connections whose handler errors the next process was asked
  // about.
  std::set<int64_t> asked_elsewhere_;
  bool close_wanted_ = false;
  bool close_recorded_ = false;
  bool is_kept_elsewhere_ = false;  // Its socket, by Shared::keeper.
  bool handlers_have_ended_ = false;
  int64_t close_number_ = 0;
  int64_t close_time_ = 0;  // 0: not closed yet.
  const Ivar<> close_started_;
  const Ivar<> close_finished_;
  const Ivar<> handlers_determined_;
  Monitor monitor_;  // The creator's, which logs.
  WorkerPool workers_;
  ListenerLog log_;
  CloseCounts closes_;
  std::unique_ptr<ListenerAccessLog> access_log_;  // Null: there is none.
  UpstreamCounts upstream_counts_;
  const std::unique_ptr<ConnectionHistograms> histograms_;
  const ForwardLoops::Id forward_id_;
  bool in_forward_loops_ = false;
  std::unique_ptr<AnyServer> server_;  // Null: it was never open.
  // Where there is no server: why it is closed, and what it had counted by then
  // in an earlier life.
  std::optional<CloseCause> unopened_cause_;
  std::unique_ptr<const v1::ListenerStatus> kept_;
  int64_t kept_limit_reached_total_ = 0;
  int64_t kept_accept_errors_total_ = 0;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_LISTENER_RESOURCE_H_
