// Registry: the listeners and connections of the daemon, by name.
#ifndef PORTREEVE_SERVER_REGISTRY_REGISTRY_H_
#define PORTREEVE_SERVER_REGISTRY_REGISTRY_H_

#include <google/protobuf/empty.pb.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/time_source.h"
#include "lib/lane/lane.h"
#include "lib/net/descriptor_budget.h"
#include "portreeve/internal/v1/handover.pb.h"
#include "portreeve/v1/connection.pb.h"
#include "portreeve/v1/listener.pb.h"
#include "server/access/live_policy.h"
#include "server/api/checked_spec.h"
#include "server/api/convert.h"
#include "server/api/listener_draft.h"
#include "server/api/page_token.h"
#include "server/control/descriptor_shares.h"
#include "server/events/connection_histograms.h"
#include "server/events/event_log.h"
#include "server/handlers/forward_loops.h"
#include "server/handlers/moving_connection.h"
#include "server/registry/awaited.h"
#include "server/registry/connection_table.h"
#include "server/registry/dialler.h"
#include "server/registry/encoded_page.h"
#include "server/registry/given_sockets.h"
#include "server/registry/held_connection.h"
#include "server/registry/listener_resource.h"
#include "server/registry/registry_state.h"
#include "server/registry/request_cache.h"
#include "server/registry/resting_connections.h"
#include "server/registry/retry_schedule.h"
#include "server/registry/shared.h"
#include "server/registry/stream_moves.h"
#include "server/remote/stream_session.h"
#include "server/state/state_store.h"

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

  // Takes up the state that an earlier life of the daemon has left, and keeps
  // all that follows on disk.  Until FinishStart() no event is appended.
  // `on_health` is told when the state cannot be written, and can be again.
  // Errors: those of StateStore::Start(), and of a record that is no listener.
  absl::Status BeginStart(OpenedState state,
                          std::function<void(bool)> on_health);
  // Has the sockets of listeners kept.  It must be called before there is a
  // listener; `keeper` must outlive the registry.
  void KeepSocketsBy(SocketKeeper& keeper) { shared_.keeper = &keeper; }
  // Has connections leave lines in `log`; the same holds for both.
  void LogAccessesTo(AccessLog& log);
  // Has the connections of listeners counted in histograms, from now on; there
  // must be no listener yet.
  void CountInHistograms(HistogramScope scope);
  // Gives those of all listeners, deleted ones included; null where there are
  // none.
  const ConnectionHistograms* histograms() const { return histograms_.get(); }
  // Goes on from those of the daemon's last process, where it has such; they
  // must have counted nothing yet.
  void RestoreHistograms(const ConnectionHistograms& histograms);

  // What clients, or the state on disk, may know of the daemon, though it is of
  // no listener, and so goes on in the daemon's next process.
  struct Numbers {
    int64_t last_request = 0;  // The highest RequestCache::Entry::seq.
    int64_t last_closed = 0;   // The highest close_number().
    std::string page_key;      // PageTokens::key(), a secret.
  };
  Numbers numbers() const {
    return {last_request_, last_closed_, page_tokens_.key()};
  }
  // Goes on from those of the daemon's last process.  It must be called before
  // the start, and before there is a listener.
  // Errors: HANDOVER_DAMAGED for what numbers() does not give.
  absl::Status SetNumbers(const Numbers& numbers);

  // Gives listening sockets, for the listeners that are opened until the end of
  // the start.
  void Give(GivenSockets sockets) { given_ = std::move(sockets); }
  // Gives the id of a socket that listens at `where`, and that no listener has;
  // "" if there is none.
  std::string GivenIdAt(const AnyWhereToListen& where) const;
  // Gives back those that no listener was opened with.
  GivenSockets TakeUnused() { return std::exchange(given_, {}); }
  // Opens the listeners that were open in that life; those that cannot be are
  // FAILED, and are tried again.
  void OpenKept();
  // Appends the events of the listeners that there are, and logs those that
  // have failed.
  void FinishStart();

  // Tries every listener that is FAILED, at once.
  void RetryFailed();
  int num_failed() const { return retries_.size(); }
  // Gives the error, with the listener's name, of one that is FAILED.
  absl::Status FirstFailure() const;
  // How many listeners are not closed.
  int num_wanted() const;

  // Whether there is a state on disk, and how it is.
  bool has_state() const { return state_.is_on(); }
  const StoreStatus& state_status() const { return state_.status(); }

  // With a state, what these three change is on disk before it is answered; the
  // answers of one listener come in the order of the calls.  Their errors are,
  // beyond those that are named, STATE_UNAVAILABLE and STATE_FULL: nothing has
  // changed.  Each calls `then` once, or throws std::bad_alloc and does
  // nothing.

  // Opens a listener within the policy, or only checks that it could be
  // (validate_only): then the answer has no uid and no status, and a name only
  // if an id was asked for.
  // Errors: REQUEST_ID_REUSED, LISTENER_CLOSED (that of the same request_id was
  // deleted), SHUTTING_DOWN, LISTENER_EXISTS, OUTSIDE_POLICY,
  // SELF_CONNECT, and those of bind and listen, with fields from the request's
  // root.
  void Create(ListenerDraft draft, Then<EncodedListener> then);

  // All methods that follow have the error NOT_FOUND.
  absl::StatusOr<EncodedListener> Get(const std::string& id) const;
  absl::StatusOr<bool> IsClosed(const std::string& id) const;

  // Errors: INVALID_FIELD of page_size and page_token.
  absl::StatusOr<EncodedPage<v1::ListListenersResponse>> List(
      const v1::ListListenersRequest& request) const;

  // The request's mask is checked (server/api/spec.h).  With validate_only it
  // gives what would be; an update that changes nothing makes no event.  One
  // that is FAILED is tried with the new spec.
  // Errors: IMMUTABLE_FIELD, INVALID_FIELD, OUTSIDE_POLICY, SELF_CONNECT,
  // LISTENER_CLOSED.
  void Update(const std::string& id, const v1::UpdateListenerRequest& request,
              Then<EncodedListener> then);

  // Closes at once, and answers when `wait_for` says; with a state also not
  // before the close is on disk, or with STATE_UNAVAILABLE or STATE_FULL where
  // it cannot be.
  absl::StatusOr<Awaited<EncodedListener>> Close(const std::string& id,
                                                 ExistingConnections existing,
                                                 v1::WaitFor wait_for);
  absl::StatusOr<Awaited<v1::Listener>> CloseFinished(
      const std::string& id, v1::WaitFor wait_for) const;

  // Errors: LISTENER_OPEN.
  void Delete(const std::string& id, Then<google::protobuf::Empty> then);

  // `listener` is an id, or empty for all.
  // Errors: INVALID_FIELD of page_size and page_token.
  absl::StatusOr<EncodedPage<v1::ListConnectionsResponse>> ListConnections(
      const std::string& listener,
      const v1::ListConnectionsRequest& request) const;
  absl::StatusOr<v1::Connection> GetConnection(int64_t number) const;
  // Gives it with what the kernel knows of its socket; without that where the
  // socket is not TCP or there is none, and as it was last where it is closed
  // while it is asked about.  It calls `then` once, or throws std::bad_alloc.
  void GetConnectionAndTcpInfo(int64_t number,
                               const Then<v1::Connection>& then) const;
  // `how` is kClose or kReset.
  absl::StatusOr<Awaited<v1::Connection>> CloseConnection(
      int64_t number, ExistingConnections how);

  // An open listener with a remote handler, for a worker to join.
  // Errors: NOT_FOUND, LISTENER_CLOSED, NOT_REMOTE.
  absl::StatusOr<std::shared_ptr<ListenerResource>> FindRemote(
      const std::string& id) const;

  // Takes a connection of a remote listener, or one whose client has dialled it
  // in the former process, for a client, which must End() its claim.
  // Errors: NOT_FOUND, NOT_REMOTE, ALREADY_ATTACHED; MOVED.
  absl::StatusOr<std::shared_ptr<LiveConnection>> Attach(int64_t number);
  // Of a connection of the former process that may come, for a client that can
  // move, or cannot: what is determined once it has come, or is closed; and
  // whether nobody else has asked for it yet.  Nothing for every other one.
  struct Arrival {
    Deferred<> settled;
    bool is_first;
  };
  std::optional<Arrival> AwaitArrival(int64_t number, bool can_move);
  // Gives what a session serves it with that Attach() gave.
  StreamSessionOptions SessionOptionsOf(
      const std::shared_ptr<LiveConnection>& live, bool can_move);

  // The names of the open listeners that the policy, as it is now, would not
  // let be opened.
  std::vector<std::string> OutsidePolicy() const;

  Dialler& dialler() { return dialler_; }
  const Dialler& dialler() const { return dialler_; }

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

  // Begins a look at the connections, and closes those, with reason SHUTDOWN,
  // that have been at rest since the look before (AnyConnection::is_at_rest).
  // It must be called after BeginShutdown().
  void CloseRested(RestingConnections& looks);

  // How it goes over to the daemon's next process.  All but Suspend(),
  // Resume(), FinishHandOver() and the last two are called while the loops
  // stand still (LoopGroup::Freeze()), as if it was on the loop.

  // Has the state on disk closed, and calls `done` then, or with the error for
  // which it is not; until Resume() changes that have to be on disk wait.
  void Suspend(std::function<void(const absl::Status&)> done);
  void Resume();
  // Gives the descriptor by which the state is locked; -1 without a state.
  int state_lock() const;

  // Give what there is; nothing changes by that.  A connection that is not
  // connected yet is none.  One that can move does where `may_move`; then its
  // descriptors are there, which stay its own.
  internal::v1::HandoverListener Freeze(const ListenerResource& listener) const;
  std::vector<internal::v1::HandoverRequest> FreezeRequests() const;
  // A connection that moves, and whose it is.
  struct Moving {
    std::shared_ptr<ListenerResource> listener;
    std::shared_ptr<AnyConnection> connection;
  };
  struct FrozenRecord {
    internal::v1::HandoverConnection record;
    std::vector<int> descriptors;
    std::optional<Moving> moving;
  };
  std::optional<FrozenRecord> Freeze(const LiveConnection& live,
                                     bool may_move) const;
  // Gives how many descriptors connections have now, roughly, with those of
  // their pipes.
  int64_t num_connection_descriptors() const;

  // The next process has it all: lets go of the listeners' sockets, and tells
  // nobody but `successor` of the connections, which go on; null: nobody.
  // AllHandlersDetermined() is when they have ended.  Dials that are under way
  // are given up.
  void HandOver(ConnectionReports* successor);
  // After that: the next process goes on with what has moved, which is let go
  // of, by nothing but close(2), and forgotten.  It needs no memory.
  void LetGo(const Moving& moved);
  // Has to be called on the loop, after that: answers, with MOVED, what waits
  // for the disk.
  void FinishHandOver();
  // And after that: begins to give the connections of clients away, to
  // `successor`; or, with false, leaves them here to their end.
  void MoveStreams(bool may_move);
  // Determined once those that no client had claimed have gone, or been ended.
  Deferred<> unclaimed_gone() const { return stream_moves_.unclaimed_gone(); }
  bool is_moved() const { return moved_; }

  // Take, in this order, after SetNumbers(), what the former process had.
  // Nobody is told, and nothing accepted.  Errors: HANDOVER_DAMAGED, those of
  // AnyServer::Adopt() and StateStore::StartSuspended().
  absl::Status TakeListener(const internal::v1::HandoverListener& record,
                            Descriptor socket);
  absl::Status TakeRequest(const internal::v1::HandoverRequest& record);
  absl::Status TakeConnection(const internal::v1::HandoverConnection& record,
                              std::vector<Descriptor> descriptors);
  absl::Status TakeState(SuspendedState state, const std::string& version,
                         std::function<void(bool)> on_health);
  // Serves from now on.
  void Own();
  // Gives up what it has taken, by nothing but close(2): the former process
  // goes on with it.
  void GiveUp();

  // Who has the connections of the former process; null: nobody can be asked.
  // It must outlive the registry, or be taken back.
  void SetHolder(ConnectionHolder* holder);
  size_t num_held() const { return held_.size(); }
  // How many of them may come here, and of those that have come await their
  // clients; it changes.
  std::shared_ptr<const std::atomic<int>> num_awaited() const {
    return num_awaited_;
  }
  // One of those connections is so far, or is closed.
  void OnHeldProgress(int64_t id, const HeldCounts& counts);
  void OnHeldClosed(const v1::Connection& closed);
  // One has come, with what waits for its peer: this process goes on with it.
  void OnHeldMovedOn(const internal::v1::HandoverMovedOn& record,
                     std::string to_write, std::vector<Descriptor> descriptors);
  // One should have come, and was lost on its way: it is closed, and FORCED.
  void OnHeldLost(int64_t id);
  // The handler of one has failed, which may be closed by now; kRaised closes
  // the listener.
  void OnHeldHandlerError(const std::string& listener, const std::string& uid,
                          int64_t id, const std::string& message,
                          std::optional<HandlerErrorOutcome> outcome);
  // Nothing can be learnt of any of them any more: each is closed, and that is
  // why, unless it has a reason already.
  void OnHolderLost(CloseReason reason);

  // Ends and joins everything; what changes wait for the disk have their
  // answers then, and the state is closed.
  Task<> TearDown();

  // Gives the bytes of the answers that are kept for their request_id.
  size_t RequestMemoryUse() const { return requests_.MemoryUse(); }

  // Gives the bytes of the listeners, without their connections.
  size_t ListenerMemoryUse() const { return listener_memory_; }

  // Has `f` called with each listener that is deleted or forgotten, in the step
  // in which it leaves listeners(); null: nobody is called any more.
  void OnForgotten(
      std::function<void(const std::shared_ptr<ListenerResource>&)> f) {
    on_forgotten_ = std::move(f);
  }

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
  // Gives the answer that the same request has had; nullopt if there was none.
  absl::StatusOr<std::optional<EncodedListener>> FormerAnswer(
      const ListenerDraft& draft) const;
  absl::Status CheckCreatable(const ListenerDraft& draft) const;
  absl::StatusOr<EncodedListener> Validate(const ListenerDraft& draft) const;
  // Makes a listener, open; with an empty id it chooses one.  It is not entered
  // yet.
  absl::StatusOr<Resource> Open(const ListenerDraft& draft);
  // Creates where nothing is kept.
  absl::StatusOr<EncodedListener> CreateNow(const ListenerDraft& draft);
  void CreateKept(const ListenerDraft& draft, Then<EncodedListener> then);
  struct Creation;
  void OnCreated(const std::shared_ptr<Creation>& creation,
                 const absl::Status& status);
  void Remember(const RequestKey& key, RequestCache::Entry entry);
  // Closes a listener that was opened and is not entered.
  void Abandon(const Resource& resource);

  // What an update would make of a listener; null where nothing changes.
  absl::StatusOr<SharedSpec> CheckUpdate(
      const ListenerResource& listener,
      const v1::UpdateListenerRequest& request) const;
  absl::StatusOr<EncodedListener> ApplyUpdate(const Resource& listener,
                                              SharedSpec spec);
  // Whether another change of the listener waits for the disk; then `again` is
  // called after that.
  bool IsChanging(const std::string& id, std::function<void()> again);
  void BeginChange(const std::string& id);
  void EndChange(const std::string& id);
  void EndOfWait();

  // Tries to open a FAILED listener, and shows what came of it.
  void TryOpen(const Resource& listener);
  absl::Status OpenWithin(const Resource& listener);
  void OnFailed(const Resource& listener, const absl::Status& status);
  void LogFailure(const ListenerResource& listener) const;
  void TryThose(const std::vector<std::string>& ids);
  void ArmRetries();
  // Tells of a listener, at the end of the start if that is under way.
  void Announce(const Resource& listener, v1::EventKind kind);
  absl::Status TakeKept(const ListenerRow& row);
  absl::Status TakeKept(const RequestRow& row);
  StateRows Rows() const;
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
  void AddTaken(const Resource& listener);
  void AddRunning(const Resource& resource);
  void FinishHeld(int64_t id, const HeldCounts& counts);
  // One has come, and is in num_awaited_ until a client takes it, or it is
  // closed.
  void CountUntilClaimed(int64_t id);
  absl::StatusOr<std::shared_ptr<StreamConnection>> TakeMovedOn(
      const internal::v1::HandoverMovedOn& record, const HeldConnection& held,
      std::string to_write, Descriptor fd);
  Descriptor LetGoOfStream(const LiveConnection& live);
  using Running = std::list<Resource>;
  void OnHandlersDetermined(Running::iterator running);
  void ForgetOldest();
  void Forget(Resource resource);  // By value: it leaves the maps.
  Task<> AllAnswered();
  void CheckAllDetermined();

  const Executor executor_;
  ListenerDescriptors listener_descriptors_;
  const LivePolicy policy_;
  ForwardLoops loops_;
  ConnectionTable connections_;
  std::unique_ptr<ConnectionHistograms> histograms_;
  Shared shared_;  // Those five, and what the constructor was given.
  bool shutting_down_ = false;
  bool moved_ = false;
  // Of who was closed before it is known who has them.
  class WaitingCloses final : public ConnectionHolder {
   public:
    void Close(int64_t id, ExistingConnections how,
               CloseReason reason) override;
    void GiveTo(ConnectionHolder& holder);

   private:
    std::vector<std::function<void(ConnectionHolder&)>> closes_;
  };
  WaitingCloses waiting_closes_;
  ConnectionHolder* holder_ = &waiting_closes_;
  std::map<int64_t, std::shared_ptr<HeldConnection>> held_;
  const std::shared_ptr<std::atomic<int>> num_awaited_ =
      std::make_shared<std::atomic<int>>(0);
  // From the first one that has moved here until Own().
  std::optional<ConnectionMover> mover_;
  RequestCache requests_;
  int64_t last_request_ = 0;  // The highest of its numbers.
  PageTokens page_tokens_;
  // Listeners are numbered in the order in which they were closed.
  int64_t last_closed_ = 0;
  const Ivar<> all_handlers_determined_;
  StreamMoves stream_moves_;
  Dialler dialler_;
  Listeners listeners_;
  // Those of listeners_ that are closed and whose handlers are determined, by
  // close_number().
  absl::btree_map<int64_t, Resource> closed_determined_;
  // The listeners whose handlers are not determined, deleted ones included.
  Running running_;
  size_t listener_memory_ = 0;  // What listeners_ take.
  std::function<void(const Resource&)> on_forgotten_;

  RegistryState state_;
  // What waits for the disk, and what waits for that: creations by id and by
  // whose request they are, changes by the listener's id.
  using Waiting = std::vector<std::function<void()>>;
  std::set<std::string> creating_;
  std::map<std::pair<std::string, std::string>, Waiting> creating_requests_;
  std::map<std::string, Waiting> changing_;
  int num_waiting_ = 0;
  std::optional<Ivar<>> all_answered_;
  // The start, and what is to be told at its end.
  bool starting_ = false;
  std::vector<std::pair<Resource, v1::EventKind>> to_announce_;
  GivenSockets given_;  // Empty once the start is over.
  RetrySchedule retries_;
  Timer retry_timer_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_REGISTRY_H_
