// ListenerResource: how it goes over to the daemon's next process.
#include <cerrno>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "lib/base/guarded.h"
#include "lib/base/status.h"
#include "lib/serve/frozen_server.h"
#include "server/api/convert.h"
#include "server/api/errors.h"
#include "server/api/names.h"
#include "server/api/timestamp.h"
#include "server/registry/frozen_records.h"
#include "server/registry/listener_resource.h"
#include "server/registry/listener_setup.h"
#include "server/remote/remote_handler.h"
#include "server/state/state_records.h"

namespace portreeve::server {
namespace {

using internal::v1::HandoverListener;

void PutServer(const FrozenServer& server, HandoverListener& record) {
  const FrozenAcceptor& acceptor = server.acceptor;
  PutSocket(acceptor.socket, record);
  record.set_raw_address(RawOf(acceptor.socket.address));
  if (acceptor.limit_reported) {
    record.set_limit_reached_nanos(NanosOf(*acceptor.limit_reported));
  }
  for (const FrozenAcceptor::Error& error : acceptor.errors) {
    auto& put = *record.add_accept_errors();
    put.set_error_number(error.error_number);
    if (error.reported) put.set_reported_nanos(NanosOf(*error.reported));
    put.set_count(error.count);
  }
  record.set_closed_bytes_received(server.closed_bytes_received);
  record.set_closed_bytes_sent(server.closed_bytes_sent);
  record.set_out_of_memory_total(server.out_of_memory_total);
}

// Whether there is a server: open, or with connections or handlers that have
// not ended.
bool HasServer(const HandoverListener& record) {
  return record.state() != v1::LISTENER_STATE_FAILED &&
         !record.record().close().handlers_determined();
}

FrozenServer ServerOf(const HandoverListener& record, const CheckedSpec& spec,
                      AnyAddress address) {
  const internal::v1::ListenerTotals& counted = record.counted();
  FrozenServer server;
  FrozenAcceptor& acceptor = server.acceptor;
  acceptor.socket =
      SocketOf(record, std::move(address), record.effective_backlog());
  acceptor.limits = {*spec.options().max_connections,
                     spec.options().max_accepts_per_batch};
  acceptor.drop_incoming = spec.options().drop_incoming_connections;
  // Own() knows whether somebody is there to serve.
  acceptor.accepting = false;
  acceptor.limit_reached_total = counted.limit_reached_total();
  acceptor.accept_errors_total = counted.accept_errors_total();
  if (record.has_limit_reached_nanos()) {
    acceptor.limit_reported = TimeOfNanos(record.limit_reached_nanos());
  }
  for (const auto& error : record.accept_errors()) {
    FrozenAcceptor::Error& put = acceptor.errors.emplace_back();
    put.error_number = error.error_number();
    if (error.has_reported_nanos()) {
      put.reported = TimeOfNanos(error.reported_nanos());
    }
    put.count = error.count();
  }
  server.accepted_total = counted.accepted_total();
  server.dropped_total = counted.dropped_total();
  server.handler_errors_total = counted.handler_errors_total();
  server.out_of_memory_total = record.out_of_memory_total();
  server.closed_bytes_received = record.closed_bytes_received();
  server.closed_bytes_sent = record.closed_bytes_sent();
  if (record.record().has_close()) {
    server.close_cause = FromProto(record.record().close().cause())
                             .value_or(CloseCause::kCalled);
  }
  server.close_finished = record.state() == v1::LISTENER_STATE_CLOSED;
  return server;
}

absl::StatusOr<AnyAddress> ListeningAddressOf(const HandoverListener& record,
                                              const Descriptor& socket) {
  if (socket.is_open()) return BoundAddressOf(socket.get());
  return AddressOf(record.record().bound(), record.raw_address());
}

}  // namespace

HandoverListener ListenerResource::Freeze() const {
  HandoverListener record;
  record.set_id(id());
  const v1::Listener listener = Describe();
  Keep(listener, close_number_, *record.mutable_record());
  record.set_source(source());
  if (opened_time_ != 0) {
    *record.mutable_opened_time() = TimestampOf(opened_time_);
  }
  record.set_state(listener.status().state());
  *record.mutable_counted() = SaveTotals();
  record.set_effective_backlog(listener.status().effective_backlog());
  if (is_failed()) *record.mutable_failure() = listener.status().failure();
  record.set_last_question(workers_.last_question());
  record.set_close_recorded(close_recorded_);
  if (server_ != nullptr) PutServer(server_->Freeze(), record);
  return record;
}

int ListenerResource::listening_descriptor() const {
  return server_ == nullptr ? -1 : server_->native_handle();
}

absl::Status ListenerResource::Adopt(const HandoverListener& record,
                                     Descriptor socket) {
  const internal::v1::StateListener& kept = record.record();
  if (record.has_opened_time()) {
    opened_time_ = UnixNanosOf(record.opened_time());
  }
  close_recorded_ = record.close_recorded();
  close_number_ = kept.close().number();
  if (record.last_question() > 0) {
    workers_.SetLastQuestion(record.last_question());
  }
  v1::ListenerStatus status;
  if (kept.has_close()) {
    status = ClosedListener(id(), kept).status();
  } else if (kept.has_bound()) {
    *status.mutable_listening_on() = kept.bound();
  }
  if (HasServer(record)) {
    if (auto s = AdoptServer(record, std::move(socket)); !s.ok()) return s;
    announced_ = true;
    encoded_listening_on_ = kept.bound().SerializeAsString();
    if (is_closed()) close_started_.Fill();
    if (record.state() == v1::LISTENER_STATE_CLOSED) {
      close_finished_.Fill();
      close_time_ = UnixNanosOf(status.close_time());
    }
  } else {
    Restore(status);
    if (is_failed()) SetFailure(record.failure());
  }
  RestoreTotals(record.counted());
  UpdateForwardLoops();
  return absl::OkStatus();
}

absl::Status ListenerResource::AdoptServer(const HandoverListener& record,
                                           Descriptor socket) {
  auto address = ListeningAddressOf(record, socket);
  if (!address.ok()) return address.status();
  const FrozenServer frozen = ServerOf(record, *spec_, *std::move(address));
  if (!frozen.close_finished && !shared_.descriptors.Take()) {
    return ErrnoError(EMFILE, "adopt",
                      ToString(frozen.acceptor.socket.address));
  }
  auto server = AnyServer::Adopt(executor_.With(monitor_), frozen,
                                 std::move(socket), MakeOnHandlerError(*spec_),
                                 MakeHandler(*spec_), Options());
  if (!server.ok()) {
    if (!frozen.close_finished) shared_.descriptors.GiveBack();
    return server.status();
  }
  server_ = *std::move(server);
  return absl::OkStatus();
}

void ListenerResource::Own() {
  if (server_ == nullptr) return;
  if (shared_.keeper != nullptr && !close_finished_.determined()) {
    is_kept_elsewhere_ = true;
    // It knows the socket already, and so has one copy of it as before.
    if (!is_closed()) shared_.keeper->Keep(id(), server_->native_handle());
  }
  server_->Own();
  if (!is_closed()) UpdateAccepting();
}

void ListenerResource::HandOver() {
  handed_over_ = true;
  // It comes first: whatever memory there is, only one process accepts.
  if (server_ != nullptr) server_->HandOver();
  if (access_log_ != nullptr) access_log_->Stop();
  close_started_.FillIfEmpty();
  close_finished_.FillIfEmpty();
  if (server_ == nullptr) {
    handlers_determined_.FillIfEmpty();
    return;
  }
  server_->close_finished_and_handlers_determined().Upon(
      [self = shared_from_this()] {
        self->handlers_determined_.FillIfEmpty();
      });
}

void ListenerResource::AddHeld(std::shared_ptr<AnyConnection> connection) {
  if (access_log_ != nullptr) access_log_->Follow(connection->id());
  server_->AddHeld(std::move(connection));
}

void ListenerResource::OnHeldClosed(int64_t id) { server_->OnHeldClosed(id); }

void ListenerResource::CountHeldUpstream(bool reached) {
  ++upstream_counts_.connects;
  if (!reached) ++upstream_counts_.errors;
}

void ListenerResource::OnHeldHandlerError(
    int64_t id, const std::string& message,
    std::optional<HandlerErrorOutcome> outcome) {
  if (server_ == nullptr) return;
  server_->CountHeldHandlerError();
  if (outcome) return ApplyHeldHandlerError(id, message, *outcome);
  // There is nothing left to be decided.
  if (handlers_determined_.determined()) {
    return ApplyHeldHandlerError(id, message, HandlerErrorOutcome::kRaised);
  }
  bool asked = false;
  Guarded([&] {
    const auto verdict =
        std::make_shared<HandlerErrorOutcome>(HandlerErrorOutcome::kRaised);
    asked = server_->CallHeldPolicy(
        AskOfHeld(id, message, verdict), [this, id, message, verdict] {
          ApplyHeldHandlerError(id, message, *verdict);
        });
  });
  if (!asked) ApplyHeldHandlerError(id, message, HandlerErrorOutcome::kRaised);
}

Task<> ListenerResource::AskOfHeld(
    int64_t id, std::string message,
    std::shared_ptr<HandlerErrorOutcome> verdict) {
  // The listener's handler may be of another kind by now.
  const auto* const remote = spec_->remote();
  if (remote == nullptr) co_return;
  // Those who worked for the other process may be on their way here.
  const bool returned = co_await workers_.AskForVerdict(
      0, ConnectionName(id), std::move(message), remote->claim_timeout,
      WorkerPool::WithoutWorkers::kAwaitOne);
  if (returned) *verdict = HandlerErrorOutcome::kReturned;
}

void ListenerResource::ApplyHeldHandlerError(int64_t id,
                                             const std::string& message,
                                             HandlerErrorOutcome outcome) {
  const auto error = std::make_exception_ptr(HandlerRaised(message));
  if (outcome == HandlerErrorOutcome::kRaised) {
    log_.OnRaised(id, error);
  } else {
    log_.OnHandlerError(id, error);
  }
  AppendHandlerError(id, message, outcome);
  if (outcome != HandlerErrorOutcome::kRaised) return;
  (void)Close(ExistingConnections::kLeave, CloseCause::kHandlerError,
              CloseReason::kListenerClosed);
}

void ListenerResource::LetGo(DirectConnection& connection) {
  server_->LetGo(connection);
}

absl::StatusOr<std::shared_ptr<DirectConnection>> ListenerResource::AddMoved(
    ConnectionMover& mover, const FrozenConnection& frozen,
    std::vector<Descriptor> descriptors) {
  RestoreForward own;
  const auto* const forward = std::get_if<FrozenForward>(&frozen.handler);
  if (forward != nullptr && forward->connecting) {
    if (!ConnectsAlike(*spec_, *forward)) {
      return HandoverDamaged("it connects to another upstream");
    }
    own = ForwardRestorerOf(*spec_, shared_, Parts());
  }
  return mover.Add(*server_, frozen, std::move(descriptors), own);
}

void ListenerResource::OnMoved(const LiveConnection& live) {
  if (access_log_ != nullptr) access_log_->Follow(live.connection->id());
}

Descriptor ListenerResource::LetGo(StreamConnection& connection) {
  return server_->LetGo(connection);
}

absl::StatusOr<std::shared_ptr<StreamConnection>> ListenerResource::TakeMovedOn(
    const LiveConnection& held, FrozenStream frozen, Descriptor fd) {
  const auto* const remote = spec_->remote();
  const std::shared_ptr<Claim>& claim = held.facts.claim;
  CoroutineHandler handler;
  if (remote != nullptr && !claim->was_elsewhere) {
    RemoteOptions options = RemoteOptionsOf(*spec_, shared_, Parts());
    options.awaits_worker = true;  // Those of the former process come back.
    handler = RemoteHandler(std::move(options));
  } else {
    // The listener may have another handler by now.
    handler = ReturningHandler(
        {claim, remote != nullptr ? remote->claim_timeout : kReturnTimeout,
         claim->was_elsewhere ? CloseReason::kClientGone
                              : CloseReason::kUnclaimed});
  }
  return server_->TakeHeld(held.connection->id(), held.connection->peer(),
                           std::move(frozen), std::move(fd), 1,
                           std::move(handler));
}

bool ListenerResource::may_hold() const {
  return server_ != nullptr && !handlers_determined_.determined();
}

}  // namespace portreeve::server
