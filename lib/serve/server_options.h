// ServerOptions, and what else a server is made with: its handler, what is done
// about the handler's errors, and the observer to whom it reports what happens.
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_SERVE_SERVER_OPTIONS_H_
#define PORTREEVE_LIB_SERVE_SERVER_OPTIONS_H_

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <variant>

#include "absl/status/status.h"
#include "lib/base/asio.h"
#include "lib/lane/direct_connection.h"
#include "lib/lane/lane.h"
#include "lib/net/address.h"
#include "lib/net/any_connection.h"
#include "lib/net/buffer_age_limit.h"
#include "lib/net/buffer_sizes.h"
#include "lib/net/descriptor_budget.h"
#include "lib/net/socket.h"
#include "lib/net/writer.h"
#include "lib/serve/stream_connection.h"

namespace portreeve {

// Why a server was closed.
enum class CloseCause { kCalled, kHandlerError, kAcceptFailed, kShutdown };

// What became of a handler's error.
enum class HandlerErrorOutcome { kIgnored, kReturned, kRaised };

// A server calls its observer when something happens, within the step in which
// it happens.  The observer may call the server.  Every method does nothing
// unless it says otherwise.  What a method throws goes to the creator's
// monitor, and the server goes on.
// Threads: loop thread only.  Lifetime: it must outlive the server.
class ServerObserver {
 public:
  virtual ~ServerObserver() = default;

  // The handler of this client is about to be called.  The observer may keep
  // the connection for as long as the server lives, and may close it at once.
  virtual void OnAccepted(const std::shared_ptr<AnyConnection>&) {}
  // This client was accepted and closed at once; its handler is never called.
  // reason() is kDropped, or kListenerClosed if the server was closed in
  // between.  A client that the loop could not watch is dropped, too; only
  // where another loop was to carry its bytes, that is found out after
  // OnAccepted(), and OnClosed() reports it with the reason kDropped.
  virtual void OnDropped(const AnyConnection&) {}
  // The descriptor of a client is closed; reason() and the counts are final.
  virtual void OnClosed(const std::shared_ptr<AnyConnection>&) {}
  // A handler failed, and on_handler_error has dealt with it.
  virtual void OnHandlerError(const StreamConnection&, std::exception_ptr,
                              HandlerErrorOutcome) {}

  // max_connections clients are connected; this is reported once a minute at
  // most.  The default logs it.
  virtual void OnLimitReached(const AnyAddress& listening_on, int limit);
  // accept(2) failed `count` times since the last such call, and is tried
  // again, or as many clients were dropped because they could not be watched;
  // this is reported once a minute at most for each error.  The default logs
  // it.
  virtual void OnAcceptFailed(const AnyAddress& listening_on, int error_number,
                              int64_t count);

  virtual void OnCloseStarted(CloseCause) {}
  virtual void OnCloseFinished() {}
  virtual void OnHandlersDetermined() {}
};

struct ServerOptions {
  // How many clients are connected at most; from the next on they wait in the
  // backlog.  >= 1.  Default: DefaultMaxConnections().
  std::optional<int> max_connections;

  // The backlog given to listen(2): how many connections the kernel keeps for
  // the server to accept; more it refuses or leaves without an answer.  >= 0.
  int max_pending_connections = 64;

  // How many clients are accepted before the handler of the first one begins.
  // >= 1.  (Where direct handlers begin in the accept, and clients queue up,
  // one step of the loop takes up to 4 such batches.)
  int max_accepts_per_batch = 1;

  // How long what is sent to a client may wait until the client takes it.
  BufferAgeLimit buffer_age_limit;

  // What BufferSizes says, for the Reader and the Writer of each client. Direct
  // handlers and those on the bare socket have neither.
  size_t reader_buffer_size = BufferSizes().reader;
  size_t writer_buffer_size = BufferSizes().writer;

  // Clients are accepted and closed at once.
  bool drop_incoming_connections = false;

  SocketOptions socket_options;

  // Whether a close shuts the socket down that the server was given at its
  // creation, so that nobody can connect though others hold copies of it; its
  // backlog is reset.  Default: it is closed only, and whoever holds a copy
  // (systemd, a parent, a sibling) takes the clients that come, and those that
  // wait.  A socket of the server's own is always shut down.
  bool shut_down_given_socket = false;

  // A bound that several servers share, and how many descriptors of it a client
  // takes while connected.  Null: there is none.  It must outlive the server.
  DescriptorBudget* descriptor_budget = nullptr;
  int descriptors_per_connection = 1;

  // The lanes on which direct handlers carry their bytes; everything else is on
  // the server's own loop.  Null: the bytes, too.  It must outlive the server.
  LaneSet* lanes = nullptr;

  // Null: the defaults of ServerObserver.
  ServerObserver* observer = nullptr;
};

// Gives INVALID_FIELD, which names the field of `options` that is out of its
// range, or OK.
absl::Status Validate(const ServerOptions& options);
// Gives the smaller of 10000 and 90 % of the soft limit of descriptors, as that
// is now; at least 1.
int DefaultMaxConnections();

// A handler that is a coroutine.  Its Executor has a Monitor of its own: an
// error sent there while it runs is the handler's (d7).
struct CoroutineHandler {
  // Whether an error of the client's Writer (the buffer age limit) is the
  // handler's (h1), or only ends the connection.
  enum class WriterErrors { kAreTheHandlers, kOnlyClose };

  std::function<Task<>(StreamConnection&)> run;

  StreamConnection::Streams streams = StreamConnection::Streams::kYes;
  WriterErrors writer_errors = WriterErrors::kAreTheHandlers;
  // How the client's Writer ends a connection whose bytes are lost.
  OnLoss on_loss = OnLoss::kClose;
};

// A handler that is an object of its own for each client.  It never fails, and
// its client is counted until the descriptor is closed.  What `make` throws
// goes to the creator's monitor, and that client is closed and dropped.
struct DirectHandler {
  std::function<std::shared_ptr<DirectConnection>(DirectConnection::Accepted)>
      make;
};

// What serves the clients of a server.
using AnyHandler = std::variant<CoroutineHandler, DirectHandler>;

// What is done about the error of a handler, after its connection has been
// flushed, closed and counted out (d4, e4).
//
// A want of memory is the error of no handler, of whichever kind, for a client
// that comes at the wrong moment could close the listener for everybody: where
// std::bad_alloc, or Asio's no_memory, is thrown, that client is closed, with
// the reason kForced.  The creator's monitor gets what was thrown, and nothing
// of this is done.
// Raising closes the server, and sends the error to the creator's monitor; an
// error that f throws is raised.
struct RaiseHandlerError {};
struct IgnoreHandlerError {};
struct CallOnHandlerError {
  std::function<Task<>(const StreamConnection&, std::exception_ptr)> f;
};
using AnyOnHandlerError =
    std::variant<RaiseHandlerError, IgnoreHandlerError, CallOnHandlerError>;

}  // namespace portreeve

#endif  // PORTREEVE_LIB_SERVE_SERVER_OPTIONS_H_
