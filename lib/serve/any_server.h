// AnyServer: a listening socket and its clients, whatever the kind of address
// (docs/CONFORMANCE.md, S1-S14).  Programs that know the kind use Server<A> in
// lib/serve/server.h, which has one.
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_SERVE_ANY_SERVER_H_
#define PORTREEVE_LIB_SERVE_ANY_SERVER_H_

#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/btree_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/descriptor.h"
#include "lib/base/guarded.h"
#include "lib/base/handler_memory.h"
#include "lib/base/task_scope.h"
#include "lib/base/time_source.h"
#include "lib/lane/direct_connection.h"
#include "lib/lane/frozen_direct.h"
#include "lib/lane/lane.h"
#include "lib/net/any_connection.h"
#include "lib/net/buffer_age_limit.h"
#include "lib/net/where.h"
#include "lib/serve/acceptor.h"
#include "lib/serve/frozen_server.h"
#include "lib/serve/server_options.h"
#include "lib/serve/stream_connection.h"

namespace portreeve {

// Threads: loop thread only.
// Lifetime: destroying it before handlers_determined or the end of TearDown()
// is a CHECK failure.
class AnyServer : private Acceptor::Owner, private DirectConnection::Owner {
 public:
  // Binds, listens, and begins to accept.  `executor`'s monitor is what is
  // called the creator's monitor here.  It never throws, also where the loop
  // cannot be made ready for sockets.
  // Errors: INVALID_FIELD for an option or for `where`, before anything is
  // bound; ADDRESS_IN_USE, ADDRESS_NOT_AVAILABLE, BIND_NOT_PERMITTED,
  // NOT_A_SOCKET, NO_SUCH_PATH, FD_LIMIT.
  //
  // With a `socket` it listens on that, in place of one of its own: one that
  // was inherited from a parent or from systemd, or has options that are not in
  // `where`.  It is to be a stream socket of kind A that is not connected; a
  // wrong one is refused, by INVALID_FIELD, or NOT_A_SOCKET, about "socket",
  // which says what is wrong with it.
  // - One that is not bound is bound to `where`, as a socket of the server's
  //   own is, but a port is asked for once only.
  // - One that is bound stays bound where it is, listening_on() is what the
  //   kernel says of that, and nothing of `where` counts but its kind.
  // - One that listens already goes on, and who is in its backlog is served; it
  //   gets the backlog that is asked for.
  // SO_REUSEADDR and the like are the caller's to set, not those of `where`; a
  // bind_to_interface, which would bind nothing, is refused.  Keepalive is set,
  // for its clients inherit it.  The socket becomes non-blocking, also for
  // others who have a copy, and close-on-exec.  A close leaves its file where
  // it is, unless that was made here, and does what
  // ServerOptions::shut_down_given_socket says.  Where the creation fails, the
  // socket is closed; whoever wants to keep it passes a dup(2).
  template <AddressKind A>
  static absl::StatusOr<std::unique_ptr<AnyServer>> Create(
      Executor executor, const WhereToListen<A>& where,
      AnyOnHandlerError on_handler_error, AnyHandler handler,
      ServerOptions options, std::optional<Descriptor> socket = std::nullopt);

  // Goes on with a server of another process, which that has frozen.  `socket`
  // is a copy of its listening socket, and counts for nothing where it was
  // closed.  Limits, drop_incoming_connections and the backlog are those of
  // `frozen`, in place of those of `options`, and totals go on from there.
  //
  // Nobody is accepted before Own(), the kernel is asked for nothing by which
  // the other process would notice, and the observer is told nothing.
  // Errors: INVALID_FIELD for an option; INVALID_FIELD or NOT_A_SOCKET about
  // "socket", where that is of another kind than it was, or does not listen.
  static absl::StatusOr<std::unique_ptr<AnyServer>> Adopt(
      Executor executor, const FrozenServer& frozen, Descriptor socket,
      AnyOnHandlerError on_handler_error, AnyHandler handler,
      ServerOptions options);

  AnyServer(const AnyServer&) = delete;
  AnyServer& operator=(const AnyServer&) = delete;
  ~AnyServer();

  // Gives the address at which the kernel has it listen.  It can be called
  // after the close, too.
  const AnyAddress& listening_on() const {
    return acceptor_->socket().address();
  }
  // Gives the backlog that the kernel keeps to: the one that was asked for, cut
  // to somaxconn.
  int effective_backlog() const {
    return acceptor_->socket().effective_backlog();
  }
  // Gives who waits to be accepted; nothing once it is closed, and for a unix
  // socket.
  std::optional<Backlog> ReadBacklog() const {
    return acceptor_->socket().ReadBacklog();
  }
  // Gives the listening descriptor, or -1 once it is closed.  Use it with care:
  // accepting on it directly circumvents max_connections and on_handler_error.
  // After shutdown(2) of it the server closes itself, as if accept(2) had
  // failed.
  int native_handle() const { return acceptor_->socket().native_handle(); }

  // From now on a close leaves the listening socket to others who have copies
  // of it: clients can still connect to those, and a unix socket's file stays.
  void LeaveSocketToOthers() { acceptor_->socket().LeaveToOthers(); }

  // Stops accepting and closes the listening descriptor.  The handler is never
  // called again, also for clients that are accepted already: those read end of
  // file; those in the backlog are reset.  Live connections go on, or are
  // closed as `existing` says, also where the server was closed before (m3).
  //
  // Gives close_finished(), or with kClose or kReset a Deferred of its own that
  // also waits for the descriptors of these connections.  Idempotent; the first
  // `cause` stays.  Where there is no memory for that Deferred it throws
  // std::bad_alloc, and all is closed.
  Deferred<> Close(ExistingConnections existing = ExistingConnections::kLeave,
                   CloseCause cause = CloseCause::kCalled);

  // Does the same with another reason for the connections than kListenerClosed.
  Deferred<> CloseAs(ExistingConnections existing, CloseCause cause,
                     CloseReason reason);

  bool is_closed() const { return policy().closed(); }
  // Is determined when the listening descriptor is closed, in a later step than
  // that of Close().  (docs/ARCHITECTURE.md says what "determined" and "step"
  // mean.)
  Deferred<> close_finished() const { return close_finished_.deferred(); }
  // Is determined when the listening descriptor is closed, no handler runs, nor
  // the f of CallOnHandlerError, and no client's descriptor is open.
  Deferred<> close_finished_and_handlers_determined() const {
    return handlers_determined_.deferred();
  }
  // Is determined when Close() is called first.
  Deferred<> close_started() const { return close_started_.deferred(); }
  std::optional<CloseCause> close_cause() const { return close_cause_; }

  // Gives how many clients are connected: their handler was called, and they
  // are not through.  A client is through when its handler has ended or it has
  // left, and its descriptor is closed.
  int num_connections() const { return policy().num_connections(); }

  // The accepted clients whose descriptor is open, by id.
  using Connections = absl::btree_map<int64_t, std::shared_ptr<AnyConnection>>;
  const Connections& connections() const { return connections_; }

  // Counts since the creation.
  int64_t accepted_total() const { return accepted_total_; }
  int64_t dropped_total() const { return dropped_total_; }
  int64_t handler_errors_total() const { return handler_errors_total_; }
  // How many clients were closed since their handler, a coroutine, found no
  // memory.
  int64_t out_of_memory_total() const { return out_of_memory_total_; }
  // How many times accepting has stopped since max_connections clients were
  // connected, and how many times it has failed: what the observer's
  // OnLimitReached() and OnAcceptFailed() report once a minute at most, and the
  // failure that has closed the server.
  int64_t limit_reached_total() const {
    return acceptor_->limit_reached_total();
  }
  int64_t accept_errors_total() const {
    return acceptor_->accept_errors_total();
  }
  // The bytes are those of all clients, of the connected ones, too.
  int64_t bytes_received_total() const;
  int64_t bytes_sent_total() const;
  // Gives both, and looks at each connection once.
  struct Bytes {
    int64_t received = 0;
    int64_t sent = 0;
  };
  Bytes bytes_total() const;

  // Change options while the server runs.  Each has the range of ServerOptions,
  // which is CHECKed; changing the backlog may fail as listen(2) does.
  int max_connections() const { return policy().limits().max_connections; }
  void SetMaxConnections(int max_connections);
  void SetMaxAcceptsPerBatch(int max_accepts_per_batch);
  absl::Status SetMaxPendingConnections(int max_pending_connections);
  void SetDropIncomingConnections(bool drop);
  bool is_dropping_incoming_connections() const {
    return policy().drop_incoming();
  }
  void SetOnHandlerError(AnyOnHandlerError on_handler_error);
  // These two are for clients that are accepted afterwards.
  void SetHandler(AnyHandler handler, int descriptors_per_connection);
  void SetBufferAgeLimit(BufferAgeLimit limit);

  // Gives what Adopt() needs; nothing changes by that.  It CHECKs that every
  // client that was accepted is decided, as FrozenLoops see to.
  FrozenServer Freeze() const;

  // Begins to accept on the socket that was adopted, which the other process
  // has given up: from now on a close is one.  Once, and after Adopt() only.
  void Own();

  // Gives the listening socket up to a process that has adopted it: this server
  // is closed, but the socket is not shut down, its file stays, and nobody in
  // its backlog notices.  Connections go on as after a Close(), and each end is
  // told to the observer; the close is not, nor that the handlers are
  // determined.  No client that was accepted may be undecided.
  //
  // Between Adopt() and Own() it gives up all that was adopted, connections
  // too, and tells nobody; the server may be destroyed then.
  void HandOver();

  // A held connection is one that the process carries on from which this server
  // was adopted.  It is like any other of connections(), and its Close() is
  // called as theirs are; but the observer is not told of its accept, and it is
  // through when its owner says so: once its descriptor is closed, though its
  // handler may run on there.  There may be some of a server that is closed,
  // but not once its handlers are determined.
  void AddHeld(std::shared_ptr<AnyConnection> connection);
  // The held connection `id` is closed: its counts and reason are final, and
  // closed() is determined.  The observer is told.
  void OnHeldClosed(int64_t id);
  // A moved connection is one that was frozen with the server (DirectConnection
  // ::FreezeDirect()), of which `socket` is a copy, and with which this server
  // goes on: from Own() on it is like any other of connections(), but the
  // observer is not told of its accept.  It takes `descriptors` of the budget,
  // and counts for max_connections, also where there is no place for it.
  // `make` is to make it with the constructor that takes a FrozenDirect, and
  // may throw.  It is called between Adopt() and Own().
  // Errors: whatever the kernel says; then the copy is closed, and nothing else
  // has happened.
  using MakeMoved = absl::FunctionRef<std::shared_ptr<DirectConnection>(
      DirectConnection::Accepted)>;
  absl::StatusOr<std::shared_ptr<DirectConnection>> AddMoved(
      const FrozenDirect& frozen, Descriptor socket, int descriptors,
      MakeMoved make);
  // Another process goes on with `connection`, of connections(), after the
  // HandOver(): it is let go of (DirectConnection::LetGo()), and nobody is
  // told.
  void LetGo(DirectConnection& connection);
  // The same of one with a coroutine, whose descriptor it gives.  The coroutine
  // runs on, and what it throws counts for nothing.
  Descriptor LetGo(StreamConnection& connection);

  // The other process has given the held connection `id` away, which was as
  // `frozen` says, and whose descriptor is `socket`: this server goes on with
  // it, with `handler`.  From now on it is like any other of connections(), but
  // the observer is not told of its accept.  It takes `descriptors` of the
  // budget.
  // Errors: whatever the kernel says; then the peer is reset, and the held
  // connection there still.
  absl::StatusOr<std::shared_ptr<StreamConnection>> TakeHeld(
      int64_t id, const AnyAddress& peer, FrozenStream frozen, Descriptor fd,
      int descriptors, CoroutineHandler handler);

  // The handler of one has failed, or found no memory; which the other process
  // tells, and this one counts.
  void CountHeldHandlerError() { ++handler_errors_total_; }
  // Runs `call`, which asks what is to become of the server after such an
  // error, and then `then`, in whatever way it has ended; the handlers are not
  // determined before.  Gives false, and neither runs, after TearDown(), which
  // cancels those that run.  Where there is no memory for it, it throws.
  bool CallHeldPolicy(Task<> call, std::function<void()> then);
  void CountHeldOutOfMemory() { ++out_of_memory_total_; }

  // Ends everything: closes the server, resets the clients, cancels the
  // handlers and joins them.  Cancellation: ends the wait only.
  Task<> TearDown();

  // While false, no client is accepted; they wait in the backlog.  It is for
  // handlers that are not always there.
  void SetAccepting(bool accepting);

 private:
  struct CoroutineClient;

  enum class Stage {
    kAdopted,     // Until Own().
    kServing,     // And closed, in its time.
    kHandedOver,  // Since HandOver().
  };

  template <AddressKind A>
  static absl::StatusOr<std::unique_ptr<AnyServer>> CreateOrThrow(
      Executor executor, const WhereToListen<A>& where,
      AnyOnHandlerError on_handler_error, AnyHandler handler,
      ServerOptions options, std::optional<Descriptor> socket);
  static absl::StatusOr<std::unique_ptr<AnyServer>> AdoptOrThrow(
      Executor executor, const FrozenServer& frozen, Descriptor socket,
      AnyOnHandlerError on_handler_error, AnyHandler handler,
      ServerOptions options);
  // `frozen` is null for a server that is new.
  AnyServer(Executor executor, ListeningSocket socket,
            AnyOnHandlerError on_handler_error, AnyHandler handler,
            ServerOptions options, const FrozenServer* frozen);
  std::unique_ptr<Acceptor> MakeAcceptor(ListeningSocket socket,
                                         const FrozenServer* frozen);
  void Resume(const FrozenServer& frozen);
  void GiveUpAdopted();
  void CountOutDirect(const DirectConnection& connection);
  // Gives 0, or an errno; then the server may be destroyed.
  int Start();

  // Calls `tell` with the observer, guarded.
  template <typename F>
  void Tell(F tell) {
    Guarded(executor_.monitor(), [&] { tell(observer_); });
  }
  // Does the same, about the close, unless the listener lives on elsewhere.
  template <typename F>
  void TellOfClose(F tell) {
    if (stage_ != Stage::kHandedOver) Tell(std::move(tell));
  }
  AcceptPolicy& policy() { return acceptor_->policy(); }
  const AcceptPolicy& policy() const { return acceptor_->policy(); }

  // These are Acceptor::Owner's.
  void OnClient(Descriptor fd, const AnyAddress& peer) override;
  void OnLimitReached(int limit) override;
  void OnAcceptFailed(int error_number, int64_t count) override;
  void OnBroken(absl::Status error) override;
  void OnIdle() override;

  // These are DirectConnection::Owner's.
  Lane& home() override { return home_; }
  void OnDirectClosed(DirectConnection& connection, int error_number) override;

  // Do the work of OnClient(), for the kind of handler that handler_ is now.
  void Serve(const DirectHandler& handler, Descriptor fd,
             const AnyAddress& peer);
  void Serve(const CoroutineHandler& handler, Descriptor fd,
             const AnyAddress& peer);

  std::shared_ptr<DirectConnection> MakeDirect(
      const DirectHandler& handler, DirectConnection::Accepted accepted);
  int EnterDirect(const std::shared_ptr<DirectConnection>& connection);
  AnyAddress LocalAddressOf(int fd) const;

  // Counts a client that is closed already, and whose handler was never called.
  // `connection` is null where there never was one: the observer is not called
  // then.  `error_number` is not 0 if the client could not be watched.
  void Drop(const AnyConnection* connection, int descriptors, int error_number);
  // Counts out a client that OnAccepted() has reported.  `settle` is called
  // after that, and before another client can be accepted in its place (d13a).
  template <typename F>
  void CountOut(int descriptors, F settle) {
    policy().OnFinished();
    settle();
    acceptor_->GiveBackDescriptors(descriptors);
  }
  void Forget(const std::shared_ptr<AnyConnection>& connection);

  // The life of a client that has a coroutine, in the order in which it
  // happens.
  int EnterCoroutine(const std::shared_ptr<CoroutineClient>& client,
                     Descriptor& fd, const AnyAddress& peer);
  Monitor HandlerMonitor(const std::shared_ptr<CoroutineClient>& client);
  Monitor WriterMonitor(const std::shared_ptr<CoroutineClient>& client);
  Task<> RunHandler(std::shared_ptr<CoroutineClient> client);
  Task<> RunTaken(std::shared_ptr<CoroutineClient> client);
  void Follow(const std::shared_ptr<CoroutineClient>& client);
  void Begin(const std::shared_ptr<CoroutineClient>& client);
  void Refuse(CoroutineClient& client, CloseReason reason,
              int error_number = 0);
  void OnHandlerExit(const std::shared_ptr<CoroutineClient>& client,
                     std::exception_ptr error);
  std::exception_ptr WithoutLeaving(CoroutineClient& client,
                                    std::exception_ptr error);
  void Determine(const std::shared_ptr<CoroutineClient>& client,
                 CloseReason reason, std::exception_ptr error);
  void OnDescriptorClosed(CoroutineClient& client);
  void FinishIfThrough(const std::shared_ptr<CoroutineClient>& client);
  void ApplyPolicy(const std::shared_ptr<CoroutineClient>& client);
  Task<> CallPolicy(std::shared_ptr<CoroutineClient> client,
                    CallOnHandlerError call);
  void Raise(const CoroutineClient& client, std::exception_ptr error);
  void TellOfError(const CoroutineClient& client, std::exception_ptr error,
                   HandlerErrorOutcome outcome);
  void CheckHandlersDetermined();
  void CloseConnections(ExistingConnections existing, CloseReason reason);
  Deferred<> AllClosed(const Connections& connections);

  const Executor executor_;
  Lane& home_;
  ServerOptions options_;
  ServerObserver& observer_;
  AnyOnHandlerError on_handler_error_;
  std::shared_ptr<const AnyHandler> handler_;

  Stage stage_;
  int num_handlers_ = 0;      // Coroutines that have not ended.
  int num_policy_calls_ = 0;  // Calls of CallOnHandlerError's f, likewise.
  std::optional<CloseCause> close_cause_;
  int64_t accepted_total_ = 0;
  int64_t dropped_total_ = 0;
  int64_t handler_errors_total_ = 0;
  int64_t out_of_memory_total_ = 0;
  int64_t closed_bytes_received_ = 0;
  int64_t closed_bytes_sent_ = 0;
  Connections connections_;
  int num_direct_ = 0;  // How many of them are DirectConnections.
  int num_held_ = 0;    // How many of them are held.
  // How many are on other loops, and what keeps this loop running while there
  // are any, since each sends a message when it is closed.
  int num_away_ = 0;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>>
      away_work_;
  // The clients that are not through, or whose handler runs.
  std::map<int64_t, std::shared_ptr<CoroutineClient>> clients_;

  const Ivar<> close_started_;
  const Ivar<> close_finished_;
  const Ivar<> handlers_determined_;

  HandlerMemory idle_memory_;  // Of what OnIdle() posts.
  // It is apart because the allocator gives more than 1 KiB only after it has
  // put all its small pieces together, which takes as long as the rest of
  // Create().
  const std::unique_ptr<Acceptor> acceptor_;
  Timer close_timer_;  // Of CloseConnections().
  TaskScope scope_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_SERVE_ANY_SERVER_H_
