// Registry: how it goes over to the daemon's next process.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/guarded.h"
#include "lib/net/descriptor_part.h"
#include "server/api/connection_failure.h"
#include "server/api/convert.h"
#include "server/api/errors.h"
#include "server/api/names.h"
#include "server/api/spec.h"
#include "server/api/timestamp.h"
#include "server/handlers/moving_connection.h"
#include "server/registry/frozen_records.h"
#include "server/registry/listener_setup.h"
#include "server/registry/moved_records.h"
#include "server/registry/registry.h"
#include "server/state/state_errors.h"

namespace portreeve::server {
namespace {

using internal::v1::HandoverConnection;
using internal::v1::HandoverListener;
using internal::v1::HandoverRequest;

HandoverConnection::Handler HandlerOf(const CheckedSpec& spec) {
  switch (spec.message().handler().kind_case()) {
    case v1::Handler::kEcho:
      return HandoverConnection::HANDLER_ECHO;
    case v1::Handler::kDiscard:
      return HandoverConnection::HANDLER_DISCARD;
    case v1::Handler::kForward:
      return HandoverConnection::HANDLER_FORWARD;
    case v1::Handler::kRemote:
      return HandoverConnection::HANDLER_REMOTE;
    default:
      return HandoverConnection::HANDLER_UNSPECIFIED;
  }
}

StateListener::Source SourceOf(v1::ListenerSource source) {
  return source == v1::LISTENER_SOURCE_INHERITED
             ? StateListener::SOURCE_INHERITED
             : StateListener::SOURCE_CLIENT;
}

std::unique_ptr<const ConnectionFailure> FailureOf(
    const v1::ConnectionFailure& message) {
  auto failure = std::make_unique<ConnectionFailure>();
  for (int i = 0; i <= static_cast<int>(Reason::kOther); ++i) {
    const auto reason = static_cast<Reason>(i);
    if (FailureReasonName(reason) == message.reason()) failure->reason = reason;
  }
  failure->message = message.message();
  failure->error_number = message.error_number();
  return failure;
}

HeldCounts CountsOf(const v1::Connection& connection) {
  return {connection.bytes_received(), connection.bytes_sent(),
          connection.bytes_to_write(), FromProto(connection.close_reason())};
}

// Whether a listener with that spec can go on with it in another process.
bool CanGoOn(const FrozenConnection& frozen, const CheckedSpec& spec) {
  const auto* const forward = std::get_if<FrozenForward>(&frozen.handler);
  return forward == nullptr || !forward->connecting ||
         ConnectsAlike(spec, *forward);
}

absl::Status Damaged(absl::string_view name, absl::string_view what) {
  return HandoverDamaged(absl::StrCat(name, ": ", what));
}

}  // namespace

void Registry::Suspend(std::function<void(const absl::Status&)> done) {
  if (!state_.is_on()) return done(absl::OkStatus());
  state_.Suspend(std::move(done));
}

void Registry::Resume() {
  if (state_.is_on()) state_.Resume();
}

int Registry::state_lock() const { return state_.is_on() ? state_.lock() : -1; }

HandoverListener Registry::Freeze(const ListenerResource& listener) const {
  HandoverListener record = listener.Freeze();
  if (const StateListener* unknown = state_.FindUnknown(listener.id())) {
    StateListener kept = *unknown;
    Keep(listener.Describe(), listener.close_number(), kept);
    *record.mutable_record() = std::move(kept);
  }
  record.mutable_record()->set_source(SourceOf(listener.source()));
  if (const auto next = retries_.next(listener.id())) {
    record.set_next_attempt_nanos(NanosOf(*next));
  }
  return record;
}

std::vector<HandoverRequest> Registry::FreezeRequests() const {
  std::vector<HandoverRequest> records;
  requests_.ForEach(
      [&records](const RequestKey& key, const RequestCache::Entry& entry) {
        HandoverRequest& record = records.emplace_back();
        record.set_number(entry.seq);
        internal::v1::StateRequest& kept = *record.mutable_record();
        kept.set_caller(key.caller);
        kept.set_request_id(key.request_id);
        kept.set_fingerprint_sha256(entry.fingerprint);
        PORTREEVE_CHECK(kept.mutable_answer()->ParseFromString(entry.answer));
      });
  return records;
}

std::optional<Registry::FrozenRecord> Registry::Freeze(
    const LiveConnection& live, bool may_move) const {
  // It is no connection yet, and HandOver() gives it up.
  if (live.facts.is_opening) return std::nullopt;
  FrozenRecord frozen;
  HandoverConnection& record = frozen.record;
  *record.mutable_connection() = Describe(live);
  record.mutable_connection()->clear_held_by_predecessor();
  record.set_close_called(live.facts.close_called);
  record.set_leaves_line(live.facts.leaves_line);
  record.set_raw_peer(RawOf(live.connection->peer()));
  record.set_raw_local(RawOf(live.connection->local()));
  if (live.facts.upstream) record.set_raw_upstream(RawOf(*live.facts.upstream));
  const auto id = ParseListenerName(NameOf(live.facts), "listener");
  const auto listener = id.ok() ? listeners_.find(*id) : listeners_.end();
  if (listener != listeners_.end()) {
    record.set_handler(HandlerOf(listener->second->spec()));
    auto moving = may_move ? FreezeConnection(*live.connection) : std::nullopt;
    if (moving && CanGoOn(moving->frozen, listener->second->spec()) &&
        PutMoved(moving->frozen, record)) {
      frozen.descriptors = std::move(moving->descriptors);
      frozen.moving = Moving{listener->second, live.connection};
      return frozen;
    }
  }
  // Those of clients have a claim, or are dialled.
  record.mutable_held_by_predecessor()->set_may_follow(
      may_move &&
      (live.facts.claim != nullptr || live.facts.listener == nullptr));
  return frozen;
}

int64_t Registry::num_connection_descriptors() const {
  return shared_.budget.num_taken() +
         int64_t{2} * DescriptorPart::OfPipes().num_taken();
}

void Registry::HandOver(ConnectionReports* successor) {
  moved_ = true;
  shutting_down_ = true;
  shared_.successor = successor;
  retry_timer_.Cancel();
  // Those that are deleted have no connections, and end by themselves.
  for (const auto& [id, listener] : listeners_) {
    Guarded([&listener = listener] { listener->HandOver(); });
  }
  dialler_.HandOver(successor);
}

void Registry::LetGo(const Moving& moved) {
  (void)connections_.Remove(moved.connection->id());
  moved.listener->LetGo(static_cast<DirectConnection&>(*moved.connection));
}

void Registry::FinishHandOver() {
  if (state_.is_on()) state_.GiveUp(Moved());
  // Their workers leave next.
  stream_moves_.TakeUnclaimed();
  CheckAllDetermined();
}

void Registry::MoveStreams(bool may_move) {
  if (may_move) {
    stream_moves_.Begin();
  } else {
    stream_moves_.GiveUp();
  }
}

Descriptor Registry::LetGoOfStream(const LiveConnection& live) {
  auto& connection = static_cast<StreamConnection&>(*live.connection);
  if (live.facts.listener == nullptr) return connection.LetGo();
  const auto id = ParseListenerName(NameOf(live.facts), "listener");
  PORTREEVE_CHECK(id.ok());
  return listeners_.at(*id)->LetGo(connection);
}

absl::Status Registry::TakeListener(const HandoverListener& record,
                                    Descriptor socket) {
  const std::string name = ListenerName(record.id());
  if (!IsListenerId(record.id()) || record.record().uid().empty() ||
      listeners_.contains(record.id())) {
    return Damaged(name, "it is no listener");
  }
  v1::ListenerSpec wanted = record.record().spec();
  DropUnknownFields(wanted);
  auto spec = CheckAndFill(std::move(wanted));
  if (!spec.ok()) {
    return Damaged(name,
                   absl::StrCat("this version does not take it: ",
                                absl::string_view(spec.status().message())));
  }
  ListenerIdentity identity;
  identity.id = record.id();
  identity.uid = record.record().uid();
  identity.create_time = UnixNanosOf(record.record().create_time());
  identity.source = record.source();
  const auto listener = std::make_shared<ListenerResource>(
      executor_, shared_, std::move(identity), *std::move(spec));
  if (auto s = listener->Adopt(record, std::move(socket)); !s.ok()) {
    return absl::Status(s.code(), absl::StrCat(name, ": ", s.message()));
  }
  state_.KeepUnknown(record.id(), record.record());
  if (listener->is_failed()) {
    std::optional<TimePoint> next;
    if (record.has_next_attempt_nanos()) {
      next = TimeOfNanos(record.next_attempt_nanos());
    }
    retries_.Restore(record.id(), record.failure().attempts(), next);
  }
  AddTaken(listener);
  return absl::OkStatus();
}

void Registry::AddTaken(const Resource& listener) {
  listeners_.emplace(listener->id(), listener);
  listener_memory_ += listener->MemoryUse();
  if (listener->handlers_determined().determined()) {
    closed_determined_.emplace(listener->close_number(), listener);
    return;
  }
  AddRunning(listener);
  if (listener->close_number() == 0) {
    listener->close_started().Upon(
        [this, listener] { listener->set_close_number(++last_closed_); });
  }
  listener->close_finished().Upon([this, listener] {
    if (state_.is_on()) state_.NoteListener(listener);
  });
}

absl::Status Registry::TakeRequest(const HandoverRequest& record) {
  const internal::v1::StateRequest& kept = record.record();
  if (record.number() > last_request_) {
    return Damaged(kept.request_id(), "its number is above the last one");
  }
  const RequestKey key{kept.caller(), kept.request_id()};
  RequestCache::Entry entry{record.number(), kept.fingerprint_sha256(),
                            kept.answer().SerializeAsString()};
  return requests_.Restore(key, std::move(entry)).status();
}

absl::Status Registry::TakeConnection(const HandoverConnection& record,
                                      std::vector<Descriptor> descriptors) {
  const v1::Connection& connection = record.connection();
  const auto number = ParseConnectionName(connection.name(), "name");
  if (!number.ok() || *number <= 0 || connections_.Find(*number) != nullptr ||
      record.how_case() == HandoverConnection::HOW_NOT_SET ||
      (record.has_moved() && connection.listener().empty())) {
    return Damaged(connection.name(), "it is no connection that can be taken");
  }
  auto peer = AddressOf(connection.peer(), record.raw_peer());
  if (!peer.ok()) return peer.status();
  auto local = AddressOf(connection.local(), record.raw_local());
  if (!local.ok()) return local.status();
  ConnectionFacts facts;
  facts.create_time =
      static_cast<uint64_t>(UnixNanosOf(connection.create_time()));
  facts.close_called = record.close_called();
  facts.leaves_line = record.leaves_line();
  facts.is_held = record.has_held_by_predecessor();
  if (connection.has_upstream()) {
    auto upstream = AddressOf(connection.upstream(), record.raw_upstream());
    if (!upstream.ok()) return upstream.status();
    facts.upstream = std::make_shared<const AnyAddress>(*std::move(upstream));
  }
  if (connection.has_failure()) facts.failure = FailureOf(connection.failure());
  if (connection.state() == v1::CONNECTION_STATE_UNCLAIMED) {
    // It shows that, and nobody can take it here.
    facts.claim = std::make_shared<Claim>(executor_);
  }
  Resource listener;
  if (!connection.listener().empty()) {
    const auto id = ParseListenerName(connection.listener(), "listener");
    const auto found = id.ok() ? listeners_.find(*id) : listeners_.end();
    if (found == listeners_.end() || !found->second->may_hold()) {
      return Damaged(connection.name(), "its listener has none");
    }
    listener = found->second;
    facts.listener = listener->name();
  }
  if (record.has_moved()) {
    const auto frozen =
        MovedOf(record, *number, *std::move(peer), *std::move(local));
    if (!frozen.ok()) return frozen.status();
    if (!mover_) mover_.emplace();
    auto moved = listener->AddMoved(*mover_, *frozen, std::move(descriptors));
    if (!moved.ok()) {
      return Damaged(connection.name(),
                     absl::string_view(moved.status().message()));
    }
    listener->OnMoved(
        *connections_.Restore(*std::move(moved), std::move(facts)));
    return absl::OkStatus();
  }
  const bool may_follow = record.held_by_predecessor().may_follow();
  const auto held = std::make_shared<HeldConnection>(
      executor_, *number, *std::move(peer), *std::move(local),
      CountsOf(connection), holder_, may_follow);
  // There has to be room for its descriptor, whenever that comes.
  if (may_follow) {
    shared_.budget.TakeAnyway(1);
    ++*num_awaited_;
  }
  if (listener == nullptr) {
    dialler_.AddHeld();
  } else {
    listener->AddHeld(held);
  }
  connections_.Restore(held, std::move(facts));
  held_.emplace(*number, held);
  return absl::OkStatus();
}

absl::Status Registry::TakeState(SuspendedState state,
                                 const std::string& version,
                                 std::function<void(bool)> on_health) {
  StateStore::Owner owner;
  owner.rows = [this] { return Rows(); };
  owner.on_health = std::move(on_health);
  return state_.StartSuspended(std::move(state), version, std::move(owner));
}

void Registry::Own() {
  mover_.reset();
  for (const auto& [id, listener] : listeners_) listener->Own();
  if (state_.is_on()) state_.Resume();
  ArmRetries();
}

void Registry::GiveUp() {
  moved_ = true;
  shutting_down_ = true;
  while (!connections_.entries().empty()) {
    connections_.Remove(connections_.entries().begin()->first);
  }
  held_.clear();
  for (const auto& [id, listener] : listeners_) listener->HandOver();
  // Nothing of it must be written here.
  if (state_.is_on()) state_.GiveUp(Moved());
}

void Registry::WaitingCloses::Close(int64_t id, ExistingConnections how,
                                    CloseReason reason) {
  closes_.emplace_back([id, how, reason](ConnectionHolder& holder) {
    holder.Close(id, how, reason);
  });
}

void Registry::WaitingCloses::GiveTo(ConnectionHolder& holder) {
  for (const auto& close : std::exchange(closes_, {})) close(holder);
}

void Registry::SetHolder(ConnectionHolder* holder) {
  holder_ = holder;
  if (holder != nullptr) waiting_closes_.GiveTo(*holder);
}

void Registry::OnHeldProgress(int64_t id, const HeldCounts& counts) {
  const auto found = held_.find(id);
  if (found != held_.end()) found->second->Update(counts);
}

void Registry::OnHeldClosed(const v1::Connection& closed) {
  const auto id = ParseConnectionName(closed.name(), "name");
  if (!id.ok() || held_.count(*id) == 0) return;
  const auto live = connections_.Find(*id);
  // It may have tried to reach its upstream meanwhile.
  if (live != nullptr && live->facts.upstream == nullptr &&
      (closed.has_upstream() || closed.has_failure())) {
    // One that cannot be read is not shown.
    if (auto upstream = AddressOf(closed.upstream(), ""); upstream.ok()) {
      live->facts.upstream =
          std::make_shared<const AnyAddress>(*std::move(upstream));
    }
    if (closed.has_failure()) live->facts.failure = FailureOf(closed.failure());
    const auto name = ParseListenerName(NameOf(live->facts), "listener");
    const auto listener = name.ok() ? listeners_.find(*name) : listeners_.end();
    if (listener != listeners_.end()) {
      listener->second->CountHeldUpstream(!closed.has_failure());
    }
  }
  HeldCounts counts = CountsOf(closed);
  counts.bytes_to_write = 0;
  FinishHeld(*id, counts);
}

void Registry::FinishHeld(int64_t id, const HeldCounts& counts) {
  const auto found = held_.find(id);
  if (found == held_.end()) return;
  const std::shared_ptr<HeldConnection> held = found->second;
  held_.erase(found);
  const auto live = connections_.Find(id);
  if (held->may_follow()) {
    --*num_awaited_;
    shared_.budget.GiveBack(1);
  }
  held->Finish(counts);
  if (live == nullptr) return;
  const std::string& name = NameOf(live->facts);
  if (name.empty()) return dialler_.OnHeldClosed(id);
  const auto listener = ParseListenerName(name, "listener");
  PORTREEVE_CHECK(listener.ok());
  listeners_.at(*listener)->OnHeldClosed(id);
}

void Registry::OnHeldHandlerError(const std::string& listener,
                                  const std::string& uid, int64_t id,
                                  const std::string& message,
                                  std::optional<HandlerErrorOutcome> outcome) {
  const auto found = listeners_.find(listener);
  if (found == listeners_.end() || found->second->uid() != uid) return;
  found->second->OnHeldHandlerError(id, message, outcome);
}

void Registry::OnHolderLost(CloseReason reason) {
  holder_ = nullptr;
  while (!held_.empty()) {
    const auto& [id, held] = *held_.begin();
    HeldCounts last = held->counts();
    if (last.reason == CloseReason::kNone) last.reason = reason;
    last.bytes_to_write = 0;
    FinishHeld(id, last);
  }
}

}  // namespace portreeve::server
