#include "server/registry/listener_resource.h"

#include <cerrno>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "lib/base/guarded.h"
#include "lib/base/status.h"
#include "server/api/convert.h"
#include "server/api/errors.h"
#include "server/api/names.h"
#include "server/api/timestamp.h"
#include "server/api/utf8.h"
#include "server/api/uuid.h"
#include "server/registry/listener_setup.h"
#include "server/remote/cut_stream.h"

namespace portreeve::server {
namespace {

// Names the field of `where` that a failed bind is about.
absl::Status WithListenField(const absl::Status& status,
                             const AnyWhereToListen& where) {
  const bool is_inet = std::holds_alternative<WhereToListen<Inet>>(where);
  if (!DetailOf(status).field.empty()) {
    return WithFieldPrefix(status, is_inet ? "inet" : "unix_socket");
  }
  return WithFieldPrefix(status, is_inet ? "inet.address" : "unix_socket.path");
}

// Whether all that comes to the listener's address and port is its own.
bool IsAlone(const AnyWhereToListen& where) {
  const auto* const inet = std::get_if<WhereToListen<Inet>>(&where);
  return inet == nullptr ||
         (!inet->reuse_port && inet->bind_to_interface.empty());
}

Families FamiliesOf(const AnyWhereToListen& where) {
  const auto* const inet = std::get_if<WhereToListen<Inet>>(&where);
  return inet != nullptr && IsDualStack(*inet) ? Families::kBoth
                                               : Families::kItsOwn;
}

}  // namespace

ListenerResource::ListenerResource(const Executor& executor,
                                   const Shared& shared,
                                   ListenerIdentity identity, SharedSpec spec)
    : executor_(executor),
      shared_(shared),
      identity_(std::move(identity)),
      name_(std::make_shared<const std::string>(ListenerName(id()))),
      spec_(std::move(spec)),
      close_started_(executor),
      close_finished_(executor),
      handlers_determined_(executor),
      monitor_(executor.monitor(), *name_,
               [this](std::exception_ptr error) { OnMonitorError(error); }),
      workers_(executor, uid(), [this] { UpdateAccepting(); }),
      log_(TimeSource::Of(executor), name_),
      access_log_(shared.access_log == nullptr
                      ? nullptr
                      : std::make_unique<ListenerAccessLog>(
                            *shared.access_log, TimeSource::Of(executor),
                            shared.connections, id(), *spec_)),
      histograms_(shared.listeners_have_histograms
                      ? std::make_unique<ConnectionHistograms>()
                      : nullptr),
      forward_id_(shared.loops.NewId()) {}

// Others may hold the monitor longer, and so it is detached.
ListenerResource::~ListenerResource() { monitor_.Detach(); }

ServerOptions ListenerResource::Options() {
  ServerOptions options = spec_->options();
  options.observer = this;
  options.descriptor_budget = &shared_.budget;
  options.lanes = &shared_.lanes;
  return options;
}

absl::Status ListenerResource::Open(const AnyWhereToListen& where,
                                    std::optional<Descriptor> socket) {
  auto create = [&](const auto& kind) {
    return AnyServer::Create(executor_.With(monitor_), kind,
                             MakeOnHandlerError(*spec_), MakeHandler(*spec_),
                             Options(), std::move(socket));
  };
  if (!shared_.descriptors.Take()) {
    const auto to_text = [](const auto& kind) { return ToString(kind); };
    return WithListenField(
        ErrnoError(EMFILE, "socket", std::visit(to_text, where)), where);
  }
  auto server = std::visit(create, where);
  if (!server.ok()) {
    shared_.descriptors.GiveBack();
    return WithListenField(server.status(), where);
  }
  server_ = *std::move(server);
  encoded_listening_on_ = ToProto(server_->listening_on()).SerializeAsString();
  opened_time_ = UnixNanosNow();
  encoded_failure_.clear();
  UpdateForwardLoops();
  return absl::OkStatus();
}

void ListenerResource::Announce(v1::EventKind kind) {
  announced_ = true;
  UpdateAccepting();
  AppendListener(kind);
  if (shared_.keeper != nullptr && server_ != nullptr && !is_closed()) {
    is_kept_elsewhere_ = true;
    shared_.keeper->Keep(id(), server_->native_handle());
  }
}

void ListenerResource::Hold() { server_->SetAccepting(false); }

void ListenerResource::Abandon() {
  deleted_ = true;
  Close(ExistingConnections::kReset, CloseCause::kCalled,
        CloseReason::kListenerClosed);
}

void ListenerResource::Restore(const v1::ListenerStatus& status) {
  announced_ = true;
  if (status.has_listening_on()) {
    encoded_listening_on_ = status.listening_on().SerializeAsString();
  }
  if (!status.is_closed()) return;
  kept_ = std::make_unique<const v1::ListenerStatus>(status);
  closes_.Restore(status.closed_by_reason());
  close_time_ = UnixNanosOf(status.close_time());
  unopened_cause_ =
      FromProto(status.close_cause()).value_or(CloseCause::kCalled);
  close_started_.Fill();
  close_finished_.Fill();
  handlers_determined_.Fill();
}

void ListenerResource::SetFailure(const v1::ListenerFailure& failure) {
  encoded_failure_ = failure.SerializeAsString();
}

Task<> ListenerResource::TearDown() {
  if (server_ != nullptr) co_await server_->TearDown();
}

ListenerParts ListenerResource::Parts() {
  return {executor_, forward_id_,      workers_,
          log_,      upstream_counts_, histograms_.get()};
}

AnyHandler ListenerResource::MakeHandler(const CheckedSpec& spec) {
  return HandlerOf(spec, shared_, Parts());
}

AnyOnHandlerError ListenerResource::MakeOnHandlerError(
    const CheckedSpec& spec) {
  CallOnHandlerError call;
  if (spec.message().on_handler_error() == v1::ON_HANDLER_ERROR_CALL) {
    call.f = [this, timeout = spec.remote()->claim_timeout](
                 const StreamConnection& connection, std::exception_ptr error) {
      return AskWorkers(connection.id(), error, timeout);
    };
  }
  return OnHandlerErrorOf(spec, std::move(call));
}

// Throws `error` unless a worker says RETURN.
Task<> ListenerResource::AskWorkers(int64_t connection_id,
                                    std::exception_ptr error,
                                    Duration timeout) {
  int64_t worker = 0;
  try {
    std::rethrow_exception(error);
  } catch (const HandlerRaised& raised) {
    worker = raised.worker;
  }  // An error of another kind is no client's: it is raised.
  const std::string text = EscapeNonUtf8(DescribeException(error));
  // Once it is handed over, the workers are those of the next process.
  const bool returned =
      !handed_over_ && co_await workers_.AskForVerdict(
                           worker, ConnectionName(connection_id), text, timeout,
                           WorkerPool::WithoutWorkers::kRaise);
  if (returned) co_return;
  if (!handed_over_ || shared_.successor == nullptr) {
    std::rethrow_exception(error);
  }
  asked_elsewhere_.insert(connection_id);
  shared_.successor->OnHandlerError(connection_id, id(), uid(), text,
                                    std::nullopt);
}

void ListenerResource::UpdateAccepting() {
  if (server_ == nullptr) return;
  const bool may_serve = spec_->remote() == nullptr ||
                         spec_->options().drop_incoming_connections ||
                         workers_.has_workers();
  server_->SetAccepting(announced_ && may_serve);
}

void ListenerResource::UpdateForwardLoops() {
  const CheckedSpec::Forward* const forward = spec_->forward();
  const bool forwards =
      forward != nullptr && server_ != nullptr && !is_closed();
  if (forwards) {
    shared_.loops.Open(
        forward_id_,
        {server_->listening_on(), IsAlone(spec_->where_to_listen()),
         forward->upstream, FamiliesOf(spec_->where_to_listen())});
  } else if (in_forward_loops_) {
    shared_.loops.Close(forward_id_);
  }
  in_forward_loops_ = forwards;
}

absl::Status ListenerResource::Update(SharedSpec spec) {
  ListenerAccessLog::Rules lines;
  if (access_log_ != nullptr) lines = access_log_->RulesOf(*spec);
  if (server_ == nullptr) {
    if (access_log_ != nullptr) access_log_->Update(std::move(lines));
    spec_ = std::move(spec);
    if (spec_->remote() == nullptr) workers_.DismissAll();
    AppendListener(v1::EVENT_KIND_LISTENER_UPDATED);
    return absl::OkStatus();
  }
  const ServerOptions& options = spec->options();
  // First what may find no memory: then all is as before.
  AnyOnHandlerError on_handler_error = MakeOnHandlerError(*spec);
  AnyHandler handler = MakeHandler(*spec);
  if (auto s =
          server_->SetMaxPendingConnections(options.max_pending_connections);
      !s.ok()) {
    return s;
  }
  if (access_log_ != nullptr) access_log_->Update(std::move(lines));
  server_->SetHandler(std::move(handler), options.descriptors_per_connection);
  spec_ = std::move(spec);
  server_->SetMaxAcceptsPerBatch(options.max_accepts_per_batch);
  server_->SetDropIncomingConnections(options.drop_incoming_connections);
  server_->SetOnHandlerError(std::move(on_handler_error));
  server_->SetBufferAgeLimit(options.buffer_age_limit);
  server_->SetMaxConnections(*options.max_connections);
  UpdateAccepting();
  if (spec_->remote() == nullptr) workers_.DismissAll();
  UpdateForwardLoops();
  AppendListener(v1::EVENT_KIND_LISTENER_UPDATED);
  return absl::OkStatus();
}

Deferred<> ListenerResource::Close(ExistingConnections existing,
                                   CloseCause cause, CloseReason reason) {
  if (server_ == nullptr) {
    if (!unopened_cause_ && !handed_over_) {
      unopened_cause_ = cause;
      OnCloseStarted(cause);
      OnCloseFinished();
      OnHandlersDetermined();
    }
    return close_finished();
  }
  if (existing != ExistingConnections::kLeave) {
    for (const auto& [id, connection] : server_->connections()) {
      if (const auto live = shared_.connections.Find(id)) {
        live->facts.close_called = true;
      }
    }
  }
  if (existing == ExistingConnections::kClose &&
      reason == CloseReason::kShutdown) {
    CutStreams();
  }
  if (is_kept_elsewhere_ && cause == CloseCause::kShutdown && !is_closed()) {
    server_->LeaveSocketToOthers();
  }
  const Deferred<> closed = server_->CloseAs(existing, cause, reason);
  if (existing == ExistingConnections::kLeave) return close_finished();
  const Ivar<> shown(executor_);
  closed.Upon([shown, finished = close_finished()] {
    finished.Upon([shown] { shown.Fill(); });
  });
  return shown.deferred();
}

// Cuts the streams whose clients have not ended them.
void ListenerResource::CutStreams() {
  const auto connections = server_->connections();  // A copy: they leave it.
  for (const auto& [id, connection] : connections) {
    const auto live = shared_.connections.Find(id);
    const Claim* const claim = live ? live->facts.claim.get() : nullptr;
    // Only a coroutine's connection is a StreamConnection.
    if (claim == nullptr || !claim->begun) continue;
    if (claim->ended().determined()) continue;
    CutStream(static_cast<StreamConnection&>(*connection),
              CloseReason::kShutdown);
  }
}

void ListenerResource::OnDeleted() {
  AppendListener(v1::EVENT_KIND_LISTENER_DELETED);
  deleted_ = true;
}

void ListenerResource::Append(v1::Event event) {
  if (is_told_of()) shared_.events.Append(std::move(event), *name_);
}

void ListenerResource::AppendListener(v1::EventKind kind) {
  if (is_told_of()) shared_.events.AppendListener(kind, Record(), name_);
}

void ListenerResource::OnMonitorError(std::exception_ptr error) {
  log_.OnError(error);
  const absl::Status status = StatusOf(error);
  const int error_number = DetailOf(status).error_number;
  // The other errors have events of their own.
  if (error_number == 0 || server_ == nullptr ||
      server_->close_cause() != CloseCause::kAcceptFailed) {
    return;
  }
  AppendAcceptFailed(error_number, std::string(status.message()));
}

void ListenerResource::AppendAcceptFailed(int error_number,
                                          const std::string& message) {
  v1::Event event;
  v1::Event::AcceptFailed& failed = *event.mutable_accept_failed();
  failed.set_listener(*name_);
  failed.set_error_number(error_number);
  failed.set_message(message);
  Append(std::move(event));
}

void ListenerResource::OnHandlerError(const StreamConnection& connection,
                                      std::exception_ptr error,
                                      HandlerErrorOutcome outcome) {
  Guarded([&] {
    if (outcome == HandlerErrorOutcome::kRaised) {
      log_.OnRaised(connection.id(), error);
    } else {
      log_.OnHandlerError(connection.id(), error);
    }
  });
  if (handed_over_) {
    // The next process tells of what it was asked.
    if (asked_elsewhere_.erase(connection.id()) > 0) return;
    if (shared_.successor != nullptr) {
      shared_.successor->OnHandlerError(connection.id(), id(), uid(),
                                        EscapeNonUtf8(DescribeException(error)),
                                        outcome);
    }
    return;
  }
  AppendHandlerError(connection.id(), EscapeNonUtf8(DescribeException(error)),
                     outcome);
}

void ListenerResource::AppendHandlerError(int64_t id,
                                          const std::string& message,
                                          HandlerErrorOutcome outcome) {
  v1::Event event;
  v1::Event::HandlerError& failed = *event.mutable_handler_error();
  failed.set_listener(*name_);
  failed.set_connection(ConnectionName(id));
  failed.set_message(message);
  failed.set_outcome(ToProto(outcome));
  Append(std::move(event));
}

void ListenerResource::OnLimitReached(const AnyAddress&, int limit) {
  log_.OnLimitReached(limit);
  v1::Event event;
  event.mutable_limit_reached()->set_listener(*name_);
  event.mutable_limit_reached()->set_limit(limit);
  Append(std::move(event));
}

void ListenerResource::OnAcceptFailed(const AnyAddress& listening_on,
                                      int error_number, int64_t count) {
  log_.OnAcceptFailed(listening_on, error_number, count);
  const absl::Status status =
      ErrnoError(error_number, "accept", ToString(listening_on));
  AppendAcceptFailed(error_number,
                     absl::StrCat(std::string(status.message()), " (", count,
                                  " times); it is tried again"));
}

void ListenerResource::OnCloseStarted(CloseCause) {
  UpdateForwardLoops();
  close_started_.Fill();
  AppendListener(v1::EVENT_KIND_LISTENER_CLOSE_STARTED);
}

void ListenerResource::OnCloseFinished() {
  if (server_ != nullptr) shared_.descriptors.GiveBack();
  // After the end of the daemon it is to go on.
  if (!is_kept_elsewhere_ || close_cause() == CloseCause::kShutdown) {
    return FinishClose();
  }
  shared_.keeper->Release(id(), [self = weak_from_this()] {
    if (const auto listener = self.lock()) listener->FinishClose();
  });
}

void ListenerResource::FinishClose() {
  close_finished_.Fill();
  close_time_ = UnixNanosNow();
  AppendListener(v1::EVENT_KIND_LISTENER_CLOSE_FINISHED);
  if (handlers_have_ended_) OnHandlersDetermined();
}

void ListenerResource::OnHandlersDetermined() {
  handlers_have_ended_ = true;
  if (!close_finished_.determined()) return;
  handlers_determined_.Fill();
  AppendListener(v1::EVENT_KIND_LISTENER_HANDLERS_DETERMINED);
}

}  // namespace portreeve::server
