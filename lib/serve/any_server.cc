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
      std::move(handler), std::move(options), nullptr));
  // Accepted sockets inherit it, which saves four system calls for each.
  if (std::holds_alternative<Inet::Address>(server->listening_on())) {
    SetKeepalive(server->native_handle(), server->options_.socket_options);
  }
  if (const int error = server->Start(); error != 0) {
    return ErrnoError(error, "epoll_ctl", ToString(where));
  }
  return server;
}

absl::StatusOr<std::unique_ptr<AnyServer>> AnyServer::Adopt(
    Executor executor, const FrozenServer& frozen, Descriptor socket,
    AnyOnHandlerError on_handler_error, AnyHandler handler,
    ServerOptions options) {
  try {
    return AdoptOrThrow(std::move(executor), frozen, std::move(socket),
                        std::move(on_handler_error), std::move(handler),
                        std::move(options));
  } catch (...) {
    return CreateError(std::current_exception(),
                       ToString(frozen.acceptor.socket.address));
  }
}

absl::StatusOr<std::unique_ptr<AnyServer>> AnyServer::AdoptOrThrow(
    Executor executor, const FrozenServer& frozen, Descriptor socket,
    AnyOnHandlerError on_handler_error, AnyHandler handler,
    ServerOptions options) {
  const FrozenAcceptor& acceptor = frozen.acceptor;
  options.max_connections = acceptor.limits.max_connections;
  options.max_accepts_per_batch = acceptor.limits.max_accepts_per_batch;
  options.drop_incoming_connections = acceptor.drop_incoming;
  if (auto s = Validate(options); !s.ok()) return s;
  const bool is_closed = frozen.close_cause.has_value();
  if (is_closed) {
    socket = Descriptor();
  } else if (!socket.is_open()) {
    return InvalidField("socket", "must be an open descriptor");
  }
  auto listening =
      ListeningSocket::Resume(executor, acceptor.socket, std::move(socket));
  if (!listening.ok()) return listening.status();
  std::unique_ptr<AnyServer> server(new AnyServer(
      std::move(executor), *std::move(listening), std::move(on_handler_error),
      std::move(handler), std::move(options), &frozen));
  if (is_closed) return server;
  if (const int error = server->Start(); error != 0) {
    return ErrnoError(error, "epoll_ctl", ToString(acceptor.socket.address));
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
                     ServerOptions options, const FrozenServer* frozen)
    : executor_(std::move(executor)),
      home_(Lane::Of(executor_)),
      options_(std::move(options)),
      observer_(options_.observer ? *options_.observer : DefaultObserver()),
      on_handler_error_(std::move(on_handler_error)),
      handler_(std::make_shared<AnyHandler>(std::move(handler))),
      stage_(frozen == nullptr ? Stage::kServing : Stage::kAdopted),
      close_started_(executor_),
      close_finished_(executor_),
      handlers_determined_(executor_),
      acceptor_(MakeAcceptor(std::move(socket), frozen)),
      close_timer_(home_.time()),
      scope_(executor_) {
  policy().SetDropIncoming(options_.drop_incoming_connections);
  if (frozen != nullptr) Resume(*frozen);
}

std::unique_ptr<Acceptor> AnyServer::MakeAcceptor(ListeningSocket socket,
                                                  const FrozenServer* frozen) {
  Acceptor::Owner& owner = *this;
  DescriptorBudget* const budget = options_.descriptor_budget;
  const int descriptors = options_.descriptors_per_connection;
  if (frozen == nullptr) {
    return std::make_unique<Acceptor>(owner, executor_, std::move(socket),
                                      LimitsOf(options_), budget, descriptors);
  }
  return std::make_unique<Acceptor>(owner, executor_, std::move(socket),
                                    frozen->acceptor, budget, descriptors);
}

void AnyServer::Resume(const FrozenServer& frozen) {
  accepted_total_ = frozen.accepted_total;
  dropped_total_ = frozen.dropped_total;
  handler_errors_total_ = frozen.handler_errors_total;
  out_of_memory_total_ = frozen.out_of_memory_total;
  closed_bytes_received_ = frozen.closed_bytes_received;
  closed_bytes_sent_ = frozen.closed_bytes_sent;
  close_cause_ = frozen.close_cause;
  if (!close_cause_) return;
  close_started_.Fill();
  if (frozen.close_finished) close_finished_.Fill();
  if (frozen.handlers_determined) handlers_determined_.Fill();
}

int AnyServer::Start() {
  const int error = acceptor_->Start();
  if (error != 0) handlers_determined_.Fill();  // It never was one.
  return error;
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
    TellOfClose([cause](auto& observer) { observer.OnCloseStarted(cause); });
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
               TellOfClose([](auto& observer) { observer.OnCloseFinished(); });
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

FrozenServer AnyServer::Freeze() const {
  PORTREEVE_CHECK(policy().num_accepted() == 0);
  FrozenServer frozen;
  frozen.acceptor = acceptor_->Freeze();
  frozen.accepted_total = accepted_total_;
  frozen.dropped_total = dropped_total_;
  frozen.handler_errors_total = handler_errors_total_;
  frozen.out_of_memory_total = out_of_memory_total_;
  frozen.closed_bytes_received = closed_bytes_received_;
  frozen.closed_bytes_sent = closed_bytes_sent_;
  frozen.close_cause = close_cause_;
  frozen.close_finished = close_finished_.determined();
  frozen.handlers_determined = handlers_determined_.determined();
  return frozen;
}

void AnyServer::Own() {
  PORTREEVE_CHECK(stage_ == Stage::kAdopted);
  stage_ = Stage::kServing;
  acceptor_->Own();
  if (is_closed() && !close_finished_.determined()) {
    // The other process had not told of it yet.
    OnIdle();
  } else {
    CheckHandlersDetermined();
  }
}

void AnyServer::HandOver() {
  PORTREEVE_CHECK(policy().num_accepted() == 0);
  // A close that has begun finishes in a step of its own, as ever.
  const bool is_closing = stage_ == Stage::kServing && is_closed();
  const bool is_given_up = stage_ == Stage::kAdopted;
  stage_ = Stage::kHandedOver;
  acceptor_->HandOver();
  if (is_given_up) GiveUpAdopted();
  close_started_.FillIfEmpty();
  if (!is_closing) close_finished_.FillIfEmpty();
  CheckHandlersDetermined();
}

// What is not held here was moved.
void AnyServer::GiveUpAdopted() {
  for (auto it = connections_.begin(); it != connections_.end();) {
    const int64_t id = it->first;
    auto* const moved = dynamic_cast<DirectConnection*>(it->second.get());
    if (moved != nullptr) LetGo(*moved);
    it = connections_.upper_bound(id);
  }
  connections_.clear();
  for (; num_held_ > 0; --num_held_) policy().OnFinished();
}

void AnyServer::AddHeld(std::shared_ptr<AnyConnection> connection) {
  PORTREEVE_CHECK(!handlers_determined_.determined());
  const int64_t id = connection->id();
  PORTREEVE_CHECK(connections_.emplace(id, std::move(connection)).second);
  ++num_held_;
  policy().OnHeld();
}

void AnyServer::OnHeldClosed(int64_t id) {
  const auto it = connections_.find(id);
  PORTREEVE_CHECK(it != connections_.end() && num_held_ > 0);
  const std::shared_ptr<AnyConnection> connection = it->second;
  --num_held_;
  Forget(connection);
  policy().OnFinished();
  // It had none of this process's descriptors.
  acceptor_->Pump();
  CheckHandlersDetermined();
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
