#include "lib/serve/any_server.h"

#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <chrono>
#include <new>
#include <system_error>
#include <utility>
#include <variant>

#include "lib/base/check.h"
#include "lib/base/status.h"

namespace portreeve {
namespace {

// The pause before connections are closed that could not be told to.
constexpr std::chrono::milliseconds kClosePause{10};

ServerObserver& DefaultObserver() {
  static auto* const observer = new ServerObserver;
  return *observer;
}

AcceptPolicy::Limits LimitsOf(const ServerOptions& options) {
  return {options.max_connections ? *options.max_connections
                                  : DefaultMaxConnections(),
          options.max_accepts_per_batch};
}

// What the services of the loop throw that are made for its first socket.
absl::Status CreateError(std::exception_ptr error, const std::string& address) {
  try {
    std::rethrow_exception(error);
  } catch (const boost::system::system_error& e) {
    return ErrnoError(e.code().value(), "create", address);
  } catch (const std::system_error& e) {
    return ErrnoError(e.code().value(), "create", address);
  } catch (const std::bad_alloc&) {
    return ErrnoError(ENOMEM, "create", address);
  } catch (...) {
    return StatusOf(std::current_exception());
  }
}

}  // namespace

template <AddressKind A>
absl::StatusOr<std::unique_ptr<AnyServer>> AnyServer::Create(
    Executor executor, const WhereToListen<A>& where,
    AnyOnHandlerError on_handler_error, AnyHandler handler,
    ServerOptions options, std::optional<Descriptor> socket) {
  try {
    return CreateOrThrow<A>(std::move(executor), where,
                            std::move(on_handler_error), std::move(handler),
                            std::move(options), std::move(socket));
  } catch (...) {
    return CreateError(std::current_exception(), ToString(where));
  }
}

template <AddressKind A>
absl::StatusOr<std::unique_ptr<AnyServer>> AnyServer::CreateOrThrow(
    Executor executor, const WhereToListen<A>& where,
    AnyOnHandlerError on_handler_error, AnyHandler handler,
    ServerOptions options, std::optional<Descriptor> socket) {
  if (auto s = Validate(options); !s.ok()) return s;
  const int backlog = options.max_pending_connections;
  auto listening = socket ? ListeningSocket::Adopt(
                                executor, where, backlog, *std::move(socket),
                                options.shut_down_given_socket)
                          : ListeningSocket::Open(executor, where, backlog);
  if (!listening.ok()) return listening.status();
  std::unique_ptr<AnyServer> server(new AnyServer(
      std::move(executor), *std::move(listening), std::move(on_handler_error),
      std::move(handler), std::move(options)));
  if (const int error = server->acceptor_->Start(); error != 0) {
    server->handlers_determined_.Fill();  // It never was one.
    return ErrnoError(error, "epoll_ctl", ToString(where));
  }
  return server;
}

template absl::StatusOr<std::unique_ptr<AnyServer>> AnyServer::Create(
    Executor, const WhereToListen<Inet>&, AnyOnHandlerError, AnyHandler,
    ServerOptions, std::optional<Descriptor>);
template absl::StatusOr<std::unique_ptr<AnyServer>> AnyServer::Create(
    Executor, const WhereToListen<Unix>&, AnyOnHandlerError, AnyHandler,
    ServerOptions, std::optional<Descriptor>);

AnyServer::AnyServer(Executor executor, ListeningSocket socket,
                     AnyOnHandlerError on_handler_error, AnyHandler handler,
                     ServerOptions options)
    : executor_(std::move(executor)),
      home_(Lane::Of(executor_)),
      options_(std::move(options)),
      observer_(options_.observer ? *options_.observer : DefaultObserver()),
      on_handler_error_(std::move(on_handler_error)),
      handler_(std::make_shared<AnyHandler>(std::move(handler))),
      close_started_(executor_),
      close_finished_(executor_),
      handlers_determined_(executor_),
      acceptor_(new Acceptor(*this, executor_, std::move(socket),
                             LimitsOf(options_), options_.descriptor_budget,
                             options_.descriptors_per_connection)),
      close_timer_(home_.time()),
      scope_(executor_) {
  policy().SetDropIncoming(options_.drop_incoming_connections);
  // Accepted sockets inherit it, which saves four system calls for each.
  if (std::holds_alternative<Inet::Address>(listening_on())) {
    SetKeepalive(native_handle(), options_.socket_options);
  }
}

AnyServer::~AnyServer() { PORTREEVE_CHECK(handlers_determined_.determined()); }

Deferred<> AnyServer::Close(ExistingConnections existing, CloseCause cause) {
  return CloseAs(existing, cause, CloseReason::kListenerClosed);
}

Deferred<> AnyServer::CloseAs(ExistingConnections existing, CloseCause cause,
                              CloseReason reason) {
  if (!is_closed()) {
    close_cause_ = cause;
    acceptor_->Close();
    close_started_.Fill();
    Tell([cause](auto& observer) { observer.OnCloseStarted(cause); });
  }
  if (existing == ExistingConnections::kLeave) return close_finished();
  CloseConnections(existing, reason);
  return AllClosed(connections_);  // Others have left by now.
}

// Those that could not be told for want of memory, since another loop carries
// their bytes, are told a moment later.
void AnyServer::CloseConnections(ExistingConnections existing,
                                 CloseReason reason) {
  bool all_told = true;
  for (auto it = connections_.begin(); it != connections_.end();) {
    // A connection that closes leaves the map.
    const int64_t id = it->first;
    const std::shared_ptr<AnyConnection> connection = it->second;
    try {
      connection->Close(existing, reason);
    } catch (const std::bad_alloc&) {
      all_told = false;
    }
    it = connections_.upper_bound(id);
  }
  if (all_told) return;
  close_timer_.StartAfter(kClosePause, [this, existing, reason] {
    CloseConnections(existing, reason);
  });
}

// Determined when the listening socket and all of `connections` are closed.
Deferred<> AnyServer::AllClosed(const Connections& connections) {
  const Ivar<> all_closed(executor_);
  auto left = std::make_shared<size_t>(connections.size() + 1);
  auto one_less = [left, all_closed] {
    if (--*left == 0) all_closed.Fill();
  };
  close_finished().Upon(one_less);
  for (const auto& [id, connection] : connections) {
    connection->closed().Upon(one_less);
  }
  return all_closed.deferred();
}

void AnyServer::OnIdle() {
  // Never in the step of the Close().  It has to come whatever memory there is.
  asio::post(executor_.inner(),
             asio::bind_allocator(idle_memory_.allocator(), [this] {
               close_finished_.Fill();
               Tell([](auto& observer) { observer.OnCloseFinished(); });
               CheckHandlersDetermined();
             }));
}

void AnyServer::OnBroken(absl::Status error) {
  Close(ExistingConnections::kLeave, CloseCause::kAcceptFailed);
  executor_.monitor().Send(
      std::make_exception_ptr(StatusError(std::move(error))));
}

void AnyServer::OnClient(Descriptor fd, const AnyAddress& peer) {
  ++accepted_total_;
  std::visit([&](const auto& handler) { Serve(handler, std::move(fd), peer); },
             *handler_);
}

void AnyServer::Drop(const AnyConnection* connection, int descriptors,
                     int error_number) {
  ++dropped_total_;
  if (connection != nullptr) {
    Tell([&](auto& observer) { observer.OnDropped(*connection); });
  }
  acceptor_->GiveBackDescriptors(descriptors);
  if (error_number != 0) acceptor_->NoteUnwatched(error_number);
}

void AnyServer::OnLimitReached(int limit) {
  Tell([&](auto& observer) { observer.OnLimitReached(listening_on(), limit); });
}

void AnyServer::OnAcceptFailed(int error_number, int64_t count) {
  Tell([&](auto& observer) {
    observer.OnAcceptFailed(listening_on(), error_number, count);
  });
}

int64_t AnyServer::bytes_received_total() const {
  int64_t total = closed_bytes_received_;
  for (const auto& [id, connection] : connections_) {
    total += connection->bytes_received();
  }
  return total;
}

int64_t AnyServer::bytes_sent_total() const {
  int64_t total = closed_bytes_sent_;
  for (const auto& [id, connection] : connections_) {
    total += connection->bytes_sent();
  }
  return total;
}

AnyServer::Bytes AnyServer::bytes_total() const {
  Bytes total{closed_bytes_received_, closed_bytes_sent_};
  for (const auto& [id, connection] : connections_) {
    total.received += connection->bytes_received();
    total.sent += connection->bytes_sent();
  }
  return total;
}

void AnyServer::SetMaxConnections(int max_connections) {
  policy().SetLimits(
      {max_connections, policy().limits().max_accepts_per_batch});
  acceptor_->Pump();
}

void AnyServer::SetMaxAcceptsPerBatch(int max_accepts_per_batch) {
  policy().SetLimits({max_connections(), max_accepts_per_batch});
}

absl::Status AnyServer::SetMaxPendingConnections(int max_pending_connections) {
  return acceptor_->socket().Listen(max_pending_connections);
}

void AnyServer::SetDropIncomingConnections(bool drop) {
  policy().SetDropIncoming(drop);
}

void AnyServer::SetOnHandlerError(AnyOnHandlerError on_handler_error) {
  on_handler_error_ = std::move(on_handler_error);
}

void AnyServer::SetHandler(AnyHandler handler, int descriptors_per_connection) {
  handler_ = std::make_shared<AnyHandler>(std::move(handler));
  acceptor_->SetDescriptorsPerClient(descriptors_per_connection);
}

void AnyServer::SetBufferAgeLimit(BufferAgeLimit limit) {
  options_.buffer_age_limit = limit;
}

void AnyServer::SetAccepting(bool accepting) {
  acceptor_->SetEnabled(accepting);
}

Task<> AnyServer::TearDown() {
  try {
    Close(ExistingConnections::kReset);
  } catch (const std::bad_alloc&) {
    // All are closed; what Close() gives to wait for is not needed.
  }
  scope_.Cancel();
  co_await scope_.Join();
  co_await close_finished_and_handlers_determined().Wait();
}

}  // namespace portreeve
