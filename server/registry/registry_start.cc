// Registry: what an earlier life of the daemon has left, and listeners that
// could not be opened.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "server/api/connection_failure.h"
#include "server/api/errors.h"
#include "server/api/names.h"
#include "server/api/spec.h"
#include "server/api/timestamp.h"
#include "server/registry/registry.h"
#include "server/registry/self_forward.h"
#include "server/state/state_errors.h"

namespace portreeve::server {
namespace {

// Gives where a listener is to be bound again: a port that the kernel has
// chosen is asked for by its number.
AnyWhereToListen WhereAgain(const CheckedSpec& spec,
                            const v1::ListenerStatus& status) {
  AnyWhereToListen where = spec.where_to_listen();
  auto* const inet = std::get_if<WhereToListen<Inet>>(&where);
  if (inet != nullptr && inet->port == 0 && status.listening_on().has_inet()) {
    inet->port = static_cast<uint16_t>(status.listening_on().inet().port());
  }
  return where;
}

// Whether an attempt that failed so may succeed though nobody does anything
// about the listener or the daemon.
bool MayPass(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  return reason != "OUTSIDE_POLICY" && reason != "SELF_CONNECT" &&
         reason != "NOT_A_SOCKET" && reason != "INVALID_FIELD";
}

}  // namespace

absl::Status Registry::BeginStart(OpenedState state,
                                  std::function<void(bool)> on_health) {
  const StateRows rows = std::exchange(state.contents.rows, {});
  starting_ = true;
  StateStore::Owner owner;
  owner.rows = [this] { return Rows(); };
  owner.on_health = std::move(on_health);
  if (auto s = state_.Start(std::move(state), std::move(owner)); !s.ok()) {
    return s;
  }
  for (const ListenerRow& row : rows.listeners) {
    if (auto s = TakeKept(row); !s.ok()) return s;
  }
  for (const RequestRow& row : rows.requests) {
    if (auto s = TakeKept(row); !s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::Status Registry::TakeKept(const ListenerRow& row) {
  auto record = ParseRow(row);
  if (!record.ok()) return record.status();
  v1::ListenerSpec wanted = record->spec();
  DropUnknownFields(wanted);
  auto spec = CheckAndFill(std::move(wanted));
  if (!spec.ok()) {
    return StateDamaged(
        absl::StrCat(ListenerName(row.id), ": this version does not take it: ",
                     absl::string_view(spec.status().message())));
  }
  ListenerIdentity identity;
  identity.id = row.id;
  identity.uid = record->uid();
  identity.create_time = UnixNanosOf(record->create_time());
  identity.source = record->source() == StateListener::SOURCE_INHERITED
                        ? v1::LISTENER_SOURCE_INHERITED
                        : v1::LISTENER_SOURCE_CLIENT;
  auto listener = std::make_shared<ListenerResource>(
      executor_, shared_, std::move(identity), *std::move(spec));
  state_.KeepUnknown(row.id, *record);
  if (!record->close_wanted()) {
    v1::ListenerStatus status;
    if (record->has_bound()) *status.mutable_listening_on() = record->bound();
    listener->Restore(status);
    Add(listener);
    return absl::OkStatus();
  }
  listener->Restore(ClosedListener(row.id, *record).status());
  // Two of the same number are in no state that this has written.
  int64_t number = std::max<int64_t>(record->close().number(), 1);
  while (closed_determined_.count(number) > 0) ++number;
  listener->set_close_number(number);
  last_closed_ = std::max(last_closed_, number);
  listeners_.emplace(row.id, listener);
  listener_memory_ += listener->MemoryUse();
  closed_determined_.emplace(number, std::move(listener));
  return absl::OkStatus();
}

absl::Status Registry::TakeKept(const RequestRow& row) {
  const auto record = ParseRow(row);
  if (!record.ok()) return record.status();
  last_request_ = std::max(last_request_, row.seq);
  const RequestKey key{record->caller(), record->request_id()};
  RequestCache::Entry entry{row.seq, record->fingerprint_sha256(),
                            record->answer().SerializeAsString()};
  Remember(key, std::move(entry));
  return absl::OkStatus();
}

StateRows Registry::Rows() const {
  StateRows rows;
  for (const auto& [id, listener] : listeners_) {
    if (!state_.Keeps(*listener)) continue;
    rows.listeners.push_back(state_.RowOf(*listener, listener->Record()));
  }
  requests_.ForEach(
      [&rows](const RequestKey& key, const RequestCache::Entry& entry) {
        rows.requests.push_back(RegistryState::RowOf(key, entry));
      });
  return rows;
}

std::string Registry::GivenIdAt(const AnyWhereToListen& where) const {
  return given_.IdAt(where, [this](const std::string& id) {
    return !listeners_.contains(id);
  });
}

void Registry::OpenKept() {
  for (const auto& [id, listener] : listeners_) {
    if (listener->is_failed()) TryOpen(listener);
  }
}

void Registry::FinishStart() {
  starting_ = false;
  for (const auto& [listener, kind] : std::exchange(to_announce_, {})) {
    if (kind == v1::EVENT_KIND_LISTENER_FAILED) LogFailure(*listener);
    listener->Announce(kind);
  }
}

void Registry::Announce(const Resource& listener, v1::EventKind kind) {
  if (!starting_) return listener->Announce(kind);
  if (!listener->is_failed()) listener->Hold();
  to_announce_.emplace_back(listener, kind);
}

void Registry::TryOpen(const Resource& listener) {
  const bool had_address = listener->Describe().status().has_listening_on();
  const absl::Status status = OpenWithin(listener);
  if (!status.ok()) return OnFailed(listener, status);
  retries_.Remove(listener->id());
  Announce(listener, v1::EVENT_KIND_LISTENER_RESTORED);
  if (!starting_) {
    const std::string name = ListenerName(listener->id());
    Log({LogLevel::kInfo, "listens again", name});
  }
  // The kernel may have chosen a port; what is kept already is not written.
  if (!had_address) state_.NoteListener(listener);
}

absl::Status Registry::OpenWithin(const Resource& listener) {
  const CheckedSpec& spec = listener->spec();
  if (auto s = CheckPolicy(spec, "spec"); !s.ok()) return s;
  if (auto s = WithFieldPrefix(CheckNoLoop(spec, nullptr, loops_),
                               "spec.handler.forward.upstream");
      !s.ok()) {
    return s;
  }
  const AnyWhereToListen where =
      WhereAgain(spec, listener->Describe().status());
  const absl::Status opened =
      listener->Open(where, given_.Take(listener->id(), where));
  return WithFieldPrefix(ExplainAddressInUse(opened, where),
                         "spec.where_to_listen");
}

void Registry::OnFailed(const Resource& listener, const absl::Status& status) {
  TimeSource& time = TimeSource::Of(executor_);
  const TimePoint now = time.Now();
  const std::string& id = listener->id();
  const std::string former = listener->Describe().status().failure().reason();
  retries_.OnFailed(id, MayPass(status), now);
  const ConnectionFailure why = FailureOf(status);
  v1::ListenerFailure failure;
  failure.set_reason(ReasonOf(status));
  failure.set_message(why.message);
  failure.set_error_number(why.error_number);
  failure.set_attempts(retries_.attempts(id));
  if (const auto next = retries_.next(id)) {
    *failure.mutable_next_attempt_time() =
        TimestampOf(UnixNanosNow() + (*next - now).count());
  }
  const bool is_news = former != failure.reason();
  listener->SetFailure(failure);
  if (is_news) {
    // A start that --require-listeners ends says it once.
    if (!starting_) LogFailure(*listener);
    Announce(listener, v1::EVENT_KIND_LISTENER_FAILED);
  }
  ArmRetries();
}

void Registry::LogFailure(const ListenerResource& listener) const {
  const std::string name = ListenerName(listener.id());
  const std::string message = absl::StrCat(
      "cannot be opened: ", listener.Describe().status().failure().message(),
      retries_.next(listener.id()) ? "; it is tried again" : "");
  Log({LogLevel::kError, message, name});
}

void Registry::ArmRetries() {
  const auto earliest = retries_.earliest();
  if (!earliest || shutting_down_) return retry_timer_.Cancel();
  retry_timer_.StartAt(*earliest, [this] {
    TryThose(retries_.Due(TimeSource::Of(executor_).Now()));
  });
}

int Registry::num_wanted() const {
  return static_cast<int>(
      std::count_if(listeners_.begin(), listeners_.end(),
                    [](const auto& it) { return !it.second->is_closed(); }));
}

absl::Status Registry::FirstFailure() const {
  for (const auto& [id, listener] : listeners_) {
    if (!listener->is_failed()) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(ListenerName(id), ": ",
                     listener->Describe().status().failure().message()));
  }
  return absl::OkStatus();
}

void Registry::RetryFailed() { TryThose(retries_.All()); }

void Registry::TryThose(const std::vector<std::string>& ids) {
  for (const std::string& id : ids) {
    const auto found = listeners_.find(id);
    // A change that waits for the disk tries it, too.
    if (found == listeners_.end() || !found->second->is_failed()) {
      retries_.Remove(id);
    } else if (!shutting_down_) {
      TryOpen(found->second);
    }
  }
  ArmRetries();
}

}  // namespace portreeve::server
