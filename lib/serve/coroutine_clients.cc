// The clients of AnyServer: from the accept to the end of both handler and
// descriptor.
#include <sys/socket.h>

#include <boost/asio/error.hpp>
#include <cerrno>
#include <new>
#include <optional>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/guarded.h"
#include "lib/base/status.h"
#include "lib/net/close_socket.h"
#include "lib/serve/any_server.h"
#include "lib/serve/dropped_connection.h"

namespace portreeve {
namespace {

// Gives why a client has left, if `error` is what Asio's operations on its
// socket throw then; else kNone.
CloseReason LeavingToldBy(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const boost::system::system_error& e) {
    if (e.code() == asio::error::eof) return CloseReason::kPeerClosed;
    for (const asio::error::basic_errors reset :
         {asio::error::connection_reset, asio::error::broken_pipe,
          asio::error::not_connected, asio::error::timed_out}) {
      if (e.code() == reset) return CloseReason::kPeerReset;
    }
  } catch (...) {
    // This is an error of the handler's own.
  }
  return CloseReason::kNone;
}

bool IsNoMemory(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    return true;
  } catch (const boost::system::system_error& e) {
    return e.code() == asio::error::no_memory;
  } catch (...) {
    return false;
  }
}

}  // namespace

// A client, and how far it is.
//
//   accepted -> Begin() -> Determine() -------> through -> policy
//            -> Refuse()   + descriptor closed
//
// It is determined by the first of: its handler ends, its handler fails
// (throws, or an error reaches its monitor), its peer leaves.  The handler's
// coroutine may run on after the latter two; the client is counted out all the
// same, but handlers_determined waits for it.
struct AnyServer::CoroutineClient {
  std::shared_ptr<StreamConnection> connection;
  std::shared_ptr<const CoroutineHandler> handler;
  std::optional<Monitor> monitor;
  int descriptors = 0;         // Taken from the budget.
  bool begun = false;          // The handler was called.
  bool handler_ended = false;  // Its coroutine is over.
  bool determined = false;
  bool let_go = false;       // Another process goes on with it.
  bool closed = false;       // Its descriptor, seen by all who wait for it.
  bool through = false;      // Counted out.
  std::exception_ptr error;  // What determined it, if that was an error.
};

void AnyServer::Serve(const CoroutineHandler& handler, Descriptor fd,
                      const AnyAddress& peer) {
  const int descriptors = acceptor_->descriptors_per_client();
  std::shared_ptr<CoroutineClient> client;
  int error = ENOMEM;
  try {
    client = std::make_shared<CoroutineClient>();
    client->handler = {handler_, &handler};
    client->descriptors = descriptors;
    error = EnterCoroutine(client, fd, peer);
  } catch (const std::bad_alloc&) {
    // It is a client that could not be watched.
  }
  if (error == 0) return;
  if (policy().OnStart() == AcceptPolicy::Verdict::kHandle) {
    policy().OnFinished();
  }
  if (client != nullptr && client->connection != nullptr) {
    clients_.erase(client->connection->id());
    Guarded(executor_.monitor(),
            [&] { Refuse(*client, CloseReason::kDropped, error); });
    return;
  }
  std::optional<DroppedConnection> dropped;
  if (fd.is_open()) {
    Guarded(executor_.monitor(), [&] {
      dropped.emplace(executor_, peer, LocalAddressOf(fd.get()));
    });
    (void)ShutDownInOrder(fd.get());
    fd = Descriptor();
  }
  Drop(dropped ? &*dropped : nullptr, descriptors, error);
}

// Has the client watched, and its coroutine begin.  Gives 0; or an errno where
// the loop cannot watch it, since epoll is out of memory or watches.  The
// client then sees end of file.
int AnyServer::EnterCoroutine(const std::shared_ptr<CoroutineClient>& client,
                              Descriptor& fd, const AnyAddress& peer) {
  const bool is_inet = std::holds_alternative<Inet::Address>(peer);
  if (is_inet && options_.socket_options.no_delay) SetNoDelay(fd.get());
  StreamSocket socket(executor_.inner());
  if (const int error = AssignSocket(fd, peer, socket); error != 0)
    return error;
  client->monitor.emplace(HandlerMonitor(client));
  client->connection = std::make_shared<StreamConnection>(
      std::make_shared<SocketCore>(executor_, std::move(socket), peer),
      WriterMonitor(client), client->handler->streams,
      options_.buffer_age_limit, client->handler->on_loss,
      BufferSizes{options_.reader_buffer_size, options_.writer_buffer_size});
  clients_.emplace(client->connection->id(), client);

  auto on_exit = [this, client](std::exception_ptr error) {
    OnHandlerExit(client, error);
  };
  // TearDown() closes before it cancels the scope, so there is no client then.
  PORTREEVE_CHECK(scope_.SpawnOn(executor_.With(*client->monitor),
                                 RunHandler(client), on_exit));
  ++num_handlers_;
  return 0;
}

// Gives the monitor to which the errors of the client's handler go.
Monitor AnyServer::HandlerMonitor(
    const std::shared_ptr<CoroutineClient>& client) {
  auto on_error = [this, weak = std::weak_ptr<CoroutineClient>(client)](
                      std::exception_ptr error) {
    if (auto client = weak.lock()) {
      Determine(client, CloseReason::kHandlerError, error);
    }
  };
  return Monitor(executor_.monitor(), "handler", on_error);
}

// Gives the monitor to which the errors of the client's Writer go.
Monitor AnyServer::WriterMonitor(
    const std::shared_ptr<CoroutineClient>& client) {
  if (client->handler->writer_errors ==
      CoroutineHandler::WriterErrors::kAreTheHandlers) {
    return *client->monitor;
  }
  return Monitor(executor_.monitor(), "writer",
                 [this, weak = std::weak_ptr<CoroutineClient>(client)](
                     std::exception_ptr) {
                   if (auto client = weak.lock()) {
                     Determine(client, CloseReason::kForced, nullptr);
                   }
                 });
}

Task<> AnyServer::RunHandler(std::shared_ptr<CoroutineClient> client) {
  // Between this decision and the call there is no other step, so that no
  // handler is called after a close, and the count is exact.
  switch (policy().OnStart()) {
    case AcceptPolicy::Verdict::kHandle:
      break;
    case AcceptPolicy::Verdict::kDrop:
      Refuse(*client, CloseReason::kDropped);
      co_return;
    case AcceptPolicy::Verdict::kCloseAtOnce:
      Refuse(*client, CloseReason::kListenerClosed);
      co_return;
  }
  try {
    Begin(client);
  } catch (const std::bad_alloc&) {
    // It never was one.
    connections_.erase(client->connection->id());
    policy().OnFinished();
    Refuse(*client, CloseReason::kDropped, ENOMEM);
    co_return;
  }
  if (!client->connection->socket()->is_open()) {
    co_return;  // The observer closed it.
  }
  Task<> handler = client->handler->run(*client->connection);
  co_await std::move(handler);
}

void AnyServer::Begin(const std::shared_ptr<CoroutineClient>& client) {
  const std::shared_ptr<StreamConnection>& connection = client->connection;
  // Later connections have larger ids.
  connections_.emplace_hint(connections_.end(), connection->id(), connection);
  Follow(client);
  client->begun = true;
  Tell([&](auto& observer) { observer.OnAccepted(connection); });
}

// Has what becomes of the client's connection noticed, once it has begun.
void AnyServer::Follow(const std::shared_ptr<CoroutineClient>& client) {
  const std::shared_ptr<StreamConnection>& connection = client->connection;
  const std::weak_ptr<CoroutineClient> weak = client;
  connection->socket()->OnClosed([this, weak] {
    if (auto client = weak.lock(); client && client->begun) {
      OnDescriptorClosed(*client);
    }
  });
  connection->closed().Upon([this, weak] {
    const auto client = weak.lock();
    if (client == nullptr || !client->begun) return;
    if (client->handler_ended) client->connection->CloseReader();
    auto finish = [this, client] {
      client->closed = true;
      FinishIfThrough(client);
    };
    // This is done in a step of its own, so that all who wait for closed()
    // still see the client counted (c3); or now, where there is no memory for
    // one.
    try {
      asio::post(executor_, finish);
    } catch (const std::bad_alloc&) {
      finish();
    }
  });
  if (client->handler->streams == StreamConnection::Streams::kYes) {
    connection->writer().consumer_left().Upon([this, weak] {
      if (auto client = weak.lock()) {
        Determine(client, CloseReason::kPeerReset, nullptr);
      }
    });
  }
}

absl::StatusOr<std::shared_ptr<StreamConnection>> AnyServer::TakeHeld(
    int64_t id, const AnyAddress& peer, FrozenStream frozen, Descriptor fd,
    int descriptors, CoroutineHandler handler) {
  PORTREEVE_CHECK(stage_ == Stage::kServing && num_held_ > 0);
  const auto held = connections_.find(id);
  PORTREEVE_CHECK(held != connections_.end());
  std::shared_ptr<CoroutineClient> client;
  int error = ENOMEM;
  try {
    client = std::make_shared<CoroutineClient>();
    client->handler =
        std::make_shared<const CoroutineHandler>(std::move(handler));
    client->descriptors = descriptors;
    StreamSocket socket(executor_.inner());
    error = AssignSocket(fd, peer, socket);
    if (error == 0) {
      error = ENOMEM;
      client->monitor.emplace(HandlerMonitor(client));
      client->connection = std::make_shared<StreamConnection>(
          id, std::make_shared<SocketCore>(executor_, std::move(socket), peer),
          WriterMonitor(client), frozen.buffer_age_limit,
          client->handler->on_loss);
      clients_.emplace(id, client);
      client->connection->Restore(std::move(frozen));
      Follow(client);
      auto on_exit = [this, client](std::exception_ptr e) {
        OnHandlerExit(client, e);
      };
      client->begun = true;
      const bool runs = scope_.SpawnOn(executor_.With(*client->monitor),
                                       RunTaken(client), on_exit);
      error = runs ? 0 : ECANCELED;
    }
  } catch (const std::bad_alloc&) {
    // It is one that cannot be gone on with.
  }
  if (error != 0) {
    clients_.erase(id);
    if (fd.is_open()) MakeCloseReset(fd.get());
    if (client != nullptr && client->connection != nullptr) {
      client->begun = false;
      client->determined = true;
      client->connection->socket()->Reset();
    }
    return ErrnoError(error, "adopt", ToString(peer));
  }
  ++num_handlers_;
  --num_held_;
  held->second = client->connection;
  if (options_.descriptor_budget != nullptr) {
    options_.descriptor_budget->TakeAnyway(descriptors);
  }
  return client->connection;
}

Task<> AnyServer::RunTaken(std::shared_ptr<CoroutineClient> client) {
  Task<> handler = client->handler->run(*client->connection);
  co_await std::move(handler);
}

Descriptor AnyServer::LetGo(StreamConnection& connection) {
  PORTREEVE_CHECK(stage_ == Stage::kHandedOver);
  const auto found = clients_.find(connection.id());
  PORTREEVE_CHECK(found != clients_.end());
  const std::shared_ptr<CoroutineClient> client = found->second;
  client->let_go = true;
  client->determined = true;
  client->error = nullptr;
  client->monitor->Detach();
  return connection.LetGo();
}

void AnyServer::Refuse(CoroutineClient& client, CloseReason reason,
                       int error_number) {
  client.determined = true;
  client.through = true;
  client.connection->NoteReason(reason);
  client.connection->socket()->CloseNow();
  Drop(client.connection.get(), client.descriptors, error_number);
}

void AnyServer::OnHandlerExit(const std::shared_ptr<CoroutineClient>& client,
                              std::exception_ptr error) {
  client->handler_ended = true;
  --num_handlers_;
  if (scope_.cancelled() && error && IsCancelled(error)) error = nullptr;
  if (error) error = WithoutLeaving(*client, error);
  if (error && IsNoMemory(error)) {
    // It costs the client, whose handler may not have run on, and not the
    // listener (ServerOptions says so of both kinds of handlers).
    executor_.monitor().Send(std::exchange(error, nullptr));
    if (client->begun) {
      ++out_of_memory_total_;
      // What it has not sent must not pass for nothing.
      client->connection->Close(ExistingConnections::kReset,
                                CloseReason::kForced);
      Determine(client, CloseReason::kForced, nullptr);
    }
  }
  if (!client->begun && !client->through) {
    // Cancelled before its first step, or without memory for it.
    if (policy().OnStart() == AcceptPolicy::Verdict::kHandle) {
      policy().OnFinished();
    }
    Refuse(*client, scope_.cancelled() ? CloseReason::kListenerClosed
                                       : CloseReason::kDropped);
  } else if (client->determined && error) {
    // The client was over before; nobody else would hear of it (d8, d14b).
    executor_.monitor().Send(error);
  } else if (client->begun) {
    Determine(client,
              error ? CloseReason::kHandlerError : CloseReason::kHandlerDone,
              error);
  }
  FinishIfThrough(client);
}

// Gives null where the error only tells a handler on the bare socket that its
// client has left; a handler with a Reader and a Writer learns that by values.
std::exception_ptr AnyServer::WithoutLeaving(CoroutineClient& client,
                                             std::exception_ptr error) {
  if (client.handler->streams == StreamConnection::Streams::kYes) return error;
  const CloseReason leaving = LeavingToldBy(error);
  SocketCore& socket = *client.connection->socket();
  // The error may be another socket's, whose peer is no client.
  if (leaving == CloseReason::kNone || !socket.HasPeerLeft()) return error;
  socket.NoteReason(leaving);
  return nullptr;
}

void AnyServer::Determine(const std::shared_ptr<CoroutineClient>& client,
                          CloseReason reason, std::exception_ptr error) {
  if (client->determined) return;
  client->determined = true;
  client->error = error;
  client->monitor->Detach();
  StreamConnection& connection = *client->connection;
  connection.NoteReason(reason);
  // With nothing left to flush or to read this closes within the call.
  connection.Close(ExistingConnections::kClose, reason);
}

void AnyServer::OnDescriptorClosed(CoroutineClient& client) {
  if (client.let_go) {
    connections_.erase(client.connection->id());
    return;
  }
  // Its handler closed it, and nothing else has happened.
  client.connection->NoteReason(CloseReason::kHandlerDone);
  Forget(client.connection);
}

void AnyServer::Forget(const std::shared_ptr<AnyConnection>& connection) {
  connections_.erase(connection->id());
  closed_bytes_received_ += connection->bytes_received();
  closed_bytes_sent_ += connection->bytes_sent();
  Tell([&](auto& observer) { observer.OnClosed(connection); });
}

void AnyServer::FinishIfThrough(
    const std::shared_ptr<CoroutineClient>& client) {
  if (!client->through && client->determined && client->closed) {
    client->through = true;
    CountOut(client->descriptors, [&] {
      if (!client->error) return;
      ++handler_errors_total_;
      ApplyPolicy(client);
    });
  }
  if (client->through && client->handler_ended) {
    clients_.erase(client->connection->id());
  }
  CheckHandlersDetermined();
}

void AnyServer::ApplyPolicy(const std::shared_ptr<CoroutineClient>& client) {
  if (std::holds_alternative<IgnoreHandlerError>(on_handler_error_)) {
    TellOfError(*client, client->error, HandlerErrorOutcome::kIgnored);
  } else if (auto* call = std::get_if<CallOnHandlerError>(&on_handler_error_)) {
    const CallOnHandlerError copy = *call;
    if (scope_.Spawn(CallPolicy(client, copy))) {
      ++num_policy_calls_;
    } else {
      Raise(*client, client->error);
    }
  } else {
    Raise(*client, client->error);
  }
}

Task<> AnyServer::CallPolicy(std::shared_ptr<CoroutineClient> client,
                             CallOnHandlerError call) {
  std::exception_ptr thrown;
  try {
    Task<> f = call.f(*client->connection, client->error);
    co_await std::move(f);
  } catch (...) {
    thrown = std::current_exception();
  }
  // TearDown() cancelled f: what it was called for is not lost.
  if (thrown && scope_.cancelled()) thrown = client->error;
  if (thrown) {
    Raise(*client, thrown);
  } else {
    TellOfError(*client, client->error, HandlerErrorOutcome::kReturned);
  }
  --num_policy_calls_;
  CheckHandlersDetermined();
}

bool AnyServer::CallHeldPolicy(Task<> call, std::function<void()> then) {
  const auto on_exit = [this, then = std::move(then)](std::exception_ptr) {
    Guarded(then);
    --num_policy_calls_;
    CheckHandlersDetermined();
  };
  if (!scope_.Spawn(std::move(call), on_exit)) return false;
  ++num_policy_calls_;
  return true;
}

void AnyServer::Raise(const CoroutineClient& client, std::exception_ptr error) {
  // Before the next client is accepted (d13a).
  Close(ExistingConnections::kLeave, CloseCause::kHandlerError);
  TellOfError(client, error, HandlerErrorOutcome::kRaised);
  // Where this was the last handler, handlers_determined comes now, and those
  // who wait for it are resumed in the next step: before the error (m5).
  auto send = [monitor = executor_.monitor(), error] { monitor.Send(error); };
  try {
    asio::post(executor_, [executor = executor_, send] {
      try {
        asio::post(executor, send);
      } catch (const std::bad_alloc&) {
        send();  // A step earlier.
      }
    });
  } catch (const std::bad_alloc&) {
    send();  // Two steps earlier.
  }
}

void AnyServer::TellOfError(const CoroutineClient& client,
                            std::exception_ptr error,
                            HandlerErrorOutcome outcome) {
  Tell([&](auto& observer) {
    observer.OnHandlerError(*client.connection, error, outcome);
  });
}

void AnyServer::CheckHandlersDetermined() {
  if (stage_ == Stage::kAdopted) return;
  if (close_finished_.determined() && clients_.empty() && num_handlers_ == 0 &&
      num_policy_calls_ == 0 && num_direct_ == 0 && num_held_ == 0 &&
      handlers_determined_.FillIfEmpty()) {
    TellOfClose([](auto& observer) { observer.OnHandlersDetermined(); });
  }
}

}  // namespace portreeve
