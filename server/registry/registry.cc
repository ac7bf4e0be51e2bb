#include "server/registry/registry.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <utility>
#include <variant>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "lib/base/check.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/net/address.h"
#include "server/api/errors.h"
#include "server/api/names.h"
#include "server/api/spec.h"
#include "server/api/uuid.h"
#include "server/registry/address_conflict.h"
#include "server/registry/self_forward.h"

namespace portreeve::server {
namespace {

absl::Status ListenerExists(const std::string& id) {
  return ServerError(absl::StatusCode::kAlreadyExists, "LISTENER_EXISTS",
                     absl::StrCat(ListenerName(id), ": the id is taken"));
}

// Gives the errno with which bind(2) of a socket's file would fail, where the
// file system shows that before; 0 where it does not.
int BindErrorOf(const std::string& path) {
  if (IsAbstract(path)) return 0;
  struct stat file;
  if (lstat(path.c_str(), &file) == 0) {
    return S_ISSOCK(file.st_mode) ? 0 : ENOTSOCK;
  }
  const std::string directory =
      std::filesystem::path(path).parent_path().string();
  if (directory.empty()) return 0;
  if (stat(directory.c_str(), &file) == 0) {
    return S_ISDIR(file.st_mode) ? 0 : ENOTDIR;
  }
  return errno == ENOENT || errno == ENOTDIR ? errno : 0;
}

}  // namespace

Registry::Registry(Executor executor, LaneSet& lanes, EventLog& events,
                   DescriptorBudget& budget, LivePolicy policy,
                   int listener_descriptors)
    : executor_(std::move(executor)),
      listener_descriptors_(listener_descriptors, budget),
      policy_(std::move(policy)),
      shared_{lanes,        events,  budget, listener_descriptors_,
              connections_, policy_, loops_},
      all_handlers_determined_(executor_),
      stream_moves_(
          executor_, shared_,
          [this](const LiveConnection& live) { return LetGoOfStream(live); }),
      dialler_(executor_, shared_, stream_moves_,
               [this] { CheckAllDetermined(); }),
      state_(executor_),
      retry_timer_(TimeSource::Of(executor_)) {}

void Registry::LogAccessesTo(AccessLog& log) {
  shared_.access_log = &log;
  dialler_.LogAccessesTo(log);
}

void Registry::CountInHistograms(HistogramScope scope) {
  if (scope == HistogramScope::kOff) return;
  histograms_ = std::make_unique<ConnectionHistograms>();
  shared_.histograms = histograms_.get();
  shared_.listeners_have_histograms = scope == HistogramScope::kListener;
}

void Registry::RestoreHistograms(const ConnectionHistograms& histograms) {
  if (histograms_ != nullptr) *histograms_ = histograms;
}

absl::Status Registry::SetNumbers(const Numbers& numbers) {
  PORTREEVE_CHECK(listeners_.empty() && last_request_ == 0 &&
                  last_closed_ == 0);
  if (numbers.last_request < 0 || numbers.last_closed < 0 ||
      !page_tokens_.SetKey(numbers.page_key)) {
    return HandoverDamaged("the numbers are none of a registry");
  }
  last_request_ = numbers.last_request;
  last_closed_ = numbers.last_closed;
  return absl::OkStatus();
}

absl::StatusOr<Registry::Resource> Registry::Find(const std::string& id) const {
  const auto it = listeners_.find(id);
  if (it == listeners_.end()) return NotFound(ListenerName(id));
  return it->second;
}

bool Registry::Remembers(const v1::Listener& listener) const {
  const auto id = ParseListenerName(listener.name(), "name");
  const auto found = id.ok() ? listeners_.find(*id) : listeners_.end();
  return found != listeners_.end() && found->second->uid() == listener.uid();
}

absl::Status Registry::CheckCreatable(const ListenerDraft& draft) const {
  if (shutting_down_) return ShuttingDown();
  if (listeners_.count(draft.listener_id) > 0 ||
      creating_.count(draft.listener_id) > 0) {
    return ListenerExists(draft.listener_id);
  }
  if (auto s = CheckPolicy(*draft.spec, "spec"); !s.ok()) return s;
  return WithFieldPrefix(CheckNoLoop(*draft.spec, nullptr, loops_),
                         "spec.handler.forward.upstream");
}

absl::Status Registry::CheckPolicy(const CheckedSpec& spec,
                                   const std::string& field) const {
  if (auto s = policy_.CheckListen(spec.where_to_listen()); !s.ok()) {
    return WithFieldPrefix(s, field + ".where_to_listen");
  }
  if (spec.forward() == nullptr) return absl::OkStatus();
  return WithFieldPrefix(policy_.CheckConnect(spec.forward()->upstream),
                         field + ".handler.forward.upstream");
}

std::vector<std::string> Registry::OutsidePolicy() const {
  std::vector<std::string> names;
  for (const auto& [id, listener] : listeners_) {
    if (listener->is_closed()) continue;
    if (!CheckPolicy(listener->spec(), "spec").ok()) {
      names.push_back(ListenerName(id));
    }
  }
  return names;
}

void Registry::Add(const Resource& resource) {
  listeners_.emplace(resource->id(), resource);
  listener_memory_ += resource->MemoryUse();
  AddRunning(resource);
  // The number is given when close begins, so that the order is that of the
  // closes.
  resource->close_started().Upon(
      [this, resource] { resource->set_close_number(++last_closed_); });
  if (!state_.Keeps(*resource)) return;
  resource->close_finished().Upon(
      [this, resource] { state_.NoteListener(resource); });
}

void Registry::AddRunning(const Resource& resource) {
  const auto running = running_.insert(running_.end(), resource);
  resource->handlers_determined().Upon(
      [this, running] { OnHandlersDetermined(running); });
}

std::string Registry::ChooseId() const {
  for (;;) {
    // The first part of a UUID: 8 hexadecimal digits.
    std::string id = absl::StrCat("listener-", NewUuid().substr(0, 8));
    if (listeners_.count(id) == 0 && creating_.count(id) == 0) return id;
  }
}

Registry::Resource Registry::HolderOf(const AnyWhereToListen& wanted) const {
  for (const auto& [id, listener] : listeners_) {
    if (listener->listening_on() != nullptr &&
        !listener->close_finished().determined() &&
        Conflicts(wanted, listener->spec().where_to_listen(),
                  *listener->listening_on())) {
      return listener;
    }
  }
  return nullptr;
}

absl::Status Registry::ExplainAddressInUse(
    const absl::Status& status, const AnyWhereToListen& wanted) const {
  const ErrorDetail detail = DetailOf(status);
  if (detail.reason != Reason::kAddressInUse) return status;
  const Resource holder = HolderOf(wanted);
  if (holder == nullptr) return status;
  return MakeError(absl::StatusCode::kAlreadyExists, detail,
                   absl::StrCat(absl::string_view(status.message()), " (by ",
                                ListenerName(holder->id()), ")"));
}

absl::Status Registry::CheckBindable(const AnyWhereToListen& wanted) const {
  const std::string address =
      std::visit([](const auto& kind) { return ToString(kind); }, wanted);
  if (HolderOf(wanted) != nullptr) {
    return ExplainAddressInUse(ErrnoError(EADDRINUSE, "bind", address), wanted);
  }
  const auto* const unix_socket = std::get_if<WhereToListen<Unix>>(&wanted);
  const int error = unix_socket == nullptr ? 0 : BindErrorOf(unix_socket->path);
  return error == 0 ? absl::OkStatus() : ErrnoError(error, "bind", address);
}

absl::StatusOr<EncodedListener> Registry::Get(const std::string& id) const {
  const auto listener = Find(id);
  if (!listener.ok()) return listener.status();
  return Encode((*listener)->RecordOfNow());
}

absl::StatusOr<bool> Registry::IsClosed(const std::string& id) const {
  const auto listener = Find(id);
  if (!listener.ok()) return listener.status();
  return (*listener)->is_closed();
}

absl::StatusOr<Registry::Resource> Registry::FindRemote(
    const std::string& id) const {
  auto listener = Find(id);
  if (!listener.ok()) return listener;
  if ((*listener)->is_closed()) return ListenerClosed(ListenerName(id));
  if ((*listener)->spec().remote() == nullptr) {
    return NotRemote(ListenerName(id), "has another handler");
  }
  return listener;
}

void Registry::Forget(Resource resource) {
  resource->OnDeleted();
  listener_memory_ -= resource->MemoryUse();
  listeners_.erase(resource->id());
  closed_determined_.erase(resource->close_number());
  state_.OnForgotten(*resource);
  if (on_forgotten_) on_forgotten_(resource);
}

void Registry::OnHandlersDetermined(Running::iterator running) {
  const Resource resource = std::move(*running);
  running_.erase(running);
  if (!resource->is_deleted()) {
    if (state_.is_on()) state_.NoteListener(resource);
    closed_determined_.emplace(resource->close_number(), resource);
    // At the end of the daemon all are closed, and are to be there again.
    while (closed_determined_.size() > kMaxClosed && !shutting_down_) {
      ForgetOldest();
    }
  }
  CheckAllDetermined();
}

void Registry::ForgetOldest() {
  const Resource oldest = closed_determined_.begin()->second;
  Forget(oldest);
  if (state_.is_on()) state_.NoteForgotten(*oldest);
}

void Registry::BeginShutdown() {
  shutting_down_ = true;
  dialler_.BeginShutdown();
  for (const auto& [id, listener] : listeners_) {
    listener->Close(ExistingConnections::kLeave, CloseCause::kShutdown,
                    CloseReason::kShutdown);
  }
  CheckAllDetermined();
}

void Registry::CheckAllDetermined() {
  if (shutting_down_ && running_.empty() && dialler_.idle()) {
    all_handlers_determined_.FillIfEmpty();
  }
}

void Registry::CloseAllConnections(ExistingConnections how) {
  for (const Resource& resource : running_) {
    resource->Close(how, CloseCause::kShutdown, CloseReason::kShutdown);
  }
  dialler_.CloseAll(how);
  for (const auto& [id, held] : held_) {
    const auto live = connections_.Find(id);
    if (live == nullptr || !NameOf(live->facts).empty()) continue;
    held->Close(how, CloseReason::kShutdown);
  }
}

void Registry::CloseRested(RestingConnections& looks) {
  looks.BeginLook();
  std::vector<std::shared_ptr<LiveConnection>> rested;  // They leave the table.
  for (const auto& [id, live] : connections_.entries()) {
    const AnyConnection& connection = *live->connection;
    if (connection.is_at_rest() &&
        looks.HasRested(
            id, connection.bytes_received() + connection.bytes_sent())) {
      rested.push_back(live);
    }
  }
  for (const auto& live : rested) {
    live->facts.close_called = true;
    live->connection->Close(ExistingConnections::kClose,
                            CloseReason::kShutdown);
  }
}

Task<> Registry::AllAnswered() {
  while (num_waiting_ > 0) {
    all_answered_.emplace(executor_);
    const Deferred<> answered = all_answered_->deferred();
    co_await answered.Wait();
  }
}

Task<> Registry::TearDown() {
  BeginShutdown();
  co_await AllAnswered();
  dialler_.CloseAll(ExistingConnections::kReset);
  // The process that has them is not waited for.
  OnHolderLost(CloseReason::kShutdown);
  const std::list<Resource> running = running_;
  for (const Resource& resource : running) co_await resource->TearDown();
  // The last of what is posted to this object determines this.
  co_await AllHandlersDetermined().Wait();
  if (!state_.is_on()) co_return;
  const Ivar<> stopped(executor_);
  state_.Stop([stopped](const absl::Status& status) {
    if (!status.ok()) {
      Log(LogLevel::kError, absl::StrCat("state: not all changes are on disk: ",
                                         absl::string_view(status.message())));
    }
    stopped.Fill();
  });
  co_await stopped.deferred().Wait();
}

}  // namespace portreeve::server
