#include "server/registry/registry.h"

#include <google/protobuf/util/message_differencer.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <utility>
#include <variant>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
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

using google::protobuf::util::MessageDifferencer;

absl::Status ListenerExists(const std::string& id) {
  return ServerError(absl::StatusCode::kAlreadyExists, "LISTENER_EXISTS",
                     absl::StrCat(ListenerName(id), ": the id is taken"));
}

absl::Status ListenerClosed(const std::string& id) {
  return ServerError(absl::StatusCode::kFailedPrecondition, "LISTENER_CLOSED",
                     absl::StrCat(ListenerName(id), " is closed"));
}

absl::Status ListenerOpen(const std::string& id) {
  return ServerError(
      absl::StatusCode::kFailedPrecondition, "LISTENER_OPEN",
      absl::StrCat(ListenerName(id), " is not closed or has connections"));
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

Deferred<> WaitDeferred(const ListenerResource& listener,
                        v1::WaitFor wait_for) {
  switch (wait_for) {
    case v1::WAIT_FOR_CLOSE_STARTED:
      return listener.close_started();
    case v1::WAIT_FOR_HANDLERS_DETERMINED:
      return listener.handlers_determined();
    default:
      return listener.close_finished();
  }
}

Awaited<v1::Listener> Await(std::shared_ptr<const ListenerResource> listener,
                            Deferred<> until) {
  return {std::move(until),
          [listener = std::move(listener)] { return listener->Describe(); }};
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
      dialler_(executor_, shared_, [this] { CheckAllDetermined(); }) {}

absl::StatusOr<Registry::Resource> Registry::Find(const std::string& id) const {
  const auto it = listeners_.find(id);
  if (it == listeners_.end()) return NotFound(ListenerName(id));
  return it->second;
}

absl::StatusOr<v1::Listener> Registry::Create(ListenerDraft draft) {
  const RequestKey key{draft.caller, draft.request_id};
  if (!draft.request_id.empty()) {
    auto answer = requests_.Find(key, draft.fingerprint);
    if (!answer.ok()) return answer.status();
    if (*answer && !Remembers(**answer)) {
      return ServerError(
          absl::StatusCode::kFailedPrecondition, "LISTENER_CLOSED",
          absl::StrCat((*answer)->name(),
                       ", which this request has created, is deleted"));
    }
    if (*answer && draft.validate_only) {
      (*answer)->clear_uid();
      (*answer)->clear_status();
    }
    if (*answer) return **std::move(answer);
  }
  if (auto s = CheckCreatable(draft); !s.ok()) return s;
  if (draft.validate_only) {
    if (auto s = CheckBindable(draft.spec->where_to_listen()); !s.ok()) {
      return s;
    }
    v1::Listener listener;
    if (!draft.listener_id.empty()) {
      listener.set_name(ListenerName(draft.listener_id));
    }
    *listener.mutable_spec() = draft.spec->message();
    return listener;
  }
  auto listener = Open(draft.listener_id, std::move(draft.spec));
  if (listener.ok() && !draft.request_id.empty()) {
    requests_.Remember(key, std::move(draft.fingerprint), *listener);
  }
  return listener;
}

bool Registry::Remembers(const v1::Listener& listener) const {
  const auto id = ParseListenerName(listener.name(), "name");
  const auto found = id.ok() ? listeners_.find(*id) : listeners_.end();
  return found != listeners_.end() && found->second->uid() == listener.uid();
}

absl::Status Registry::CheckCreatable(const ListenerDraft& draft) const {
  if (shutting_down_) return ShuttingDown();
  if (listeners_.count(draft.listener_id) > 0) {
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

absl::StatusOr<v1::Listener> Registry::Open(const std::string& wanted_id,
                                            SharedSpec spec) {
  const std::string id = wanted_id.empty() ? ChooseId() : wanted_id;
  auto opened = ListenerResource::Open(executor_, shared_, id, spec);
  if (!opened.ok()) {
    return WithFieldPrefix(
        ExplainAddressInUse(opened.status(), spec->where_to_listen()),
        "spec.where_to_listen");
  }
  Add(*opened);
  return (*opened)->Describe();
}

void Registry::Add(const Resource& resource) {
  listeners_.emplace(resource->id(), resource);
  listener_memory_ += resource->MemoryUse();
  const auto running = running_.insert(running_.end(), resource);
  // The number is given when close begins, so that the order is that of the
  // closes.
  resource->close_started().Upon(
      [this, resource] { resource->set_close_number(++last_closed_); });
  resource->handlers_determined().Upon(
      [this, running] { OnHandlersDetermined(running); });
}

std::string Registry::ChooseId() const {
  for (;;) {
    // The first part of a UUID: 8 hexadecimal digits.
    std::string id = absl::StrCat("listener-", NewUuid().substr(0, 8));
    if (listeners_.count(id) == 0) return id;
  }
}

Registry::Resource Registry::HolderOf(const AnyWhereToListen& wanted) const {
  for (const auto& [id, listener] : listeners_) {
    if (!listener->close_finished().determined() &&
        Conflicts(wanted, listener->spec().where_to_listen(),
                  listener->listening_on())) {
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

absl::StatusOr<v1::Listener> Registry::Get(const std::string& id) const {
  const auto listener = Find(id);
  if (!listener.ok()) return listener.status();
  return (*listener)->Describe();
}

absl::StatusOr<bool> Registry::IsClosed(const std::string& id) const {
  const auto listener = Find(id);
  if (!listener.ok()) return listener.status();
  return (*listener)->is_closed();
}

absl::StatusOr<v1::Listener> Registry::Update(
    const std::string& id, const v1::UpdateListenerRequest& request) {
  const auto listener = Find(id);
  if (!listener.ok()) return listener.status();
  const auto& mask = request.update_mask();
  if (auto s = CheckMutable(mask); !s.ok()) return s;
  v1::ListenerSpec wanted =
      Merge((*listener)->spec().message(), request.listener().spec(), mask);
  DropUnknownFields(wanted);
  const auto spec = CheckAndFill(std::move(wanted));
  if (!spec.ok()) return WithFieldPrefix(spec.status(), "listener.spec");
  if (ReplacesAll(mask) &&
      (*spec)->where_to_listen() != (*listener)->spec().where_to_listen()) {
    return ImmutableField();
  }
  if (auto s = CheckPolicy(**spec, "listener.spec"); !s.ok()) return s;
  if ((*listener)->is_closed()) return ListenerClosed(id);
  if (auto s = CheckNoLoop(**spec, &(*listener)->listening_on(), loops_);
      !s.ok()) {
    return WithFieldPrefix(s, "listener.spec.handler.forward.upstream");
  }
  if (request.validate_only()) return (*listener)->DescribeWith(**spec);
  if (MessageDifferencer::Equals((*spec)->message(),
                                 (*listener)->spec().message())) {
    return (*listener)->Describe();
  }
  listener_memory_ -= (*listener)->MemoryUse();
  absl::Cleanup count = [&] { listener_memory_ += (*listener)->MemoryUse(); };
  if (auto s = (*listener)->Update(*spec); !s.ok()) return s;
  std::move(count).Invoke();
  return (*listener)->Describe();
}

absl::StatusOr<Registry::Resource> Registry::FindRemote(
    const std::string& id) const {
  auto listener = Find(id);
  if (!listener.ok()) return listener;
  if ((*listener)->is_closed()) return ListenerClosed(id);
  if ((*listener)->spec().remote() == nullptr) {
    return NotRemote(ListenerName(id), "has another handler");
  }
  return listener;
}

absl::StatusOr<Awaited<v1::Listener>> Registry::Close(
    const std::string& id, ExistingConnections existing, v1::WaitFor wait_for) {
  const auto listener = Find(id);
  if (!listener.ok()) return listener.status();
  const Deferred<> closed = (*listener)->Close(existing, CloseCause::kCalled,
                                               CloseReason::kListenerClosed);
  // If connections have to be closed, `closed` waits for them, too.
  return Await(*listener, wait_for == v1::WAIT_FOR_CLOSE_FINISHED
                              ? closed
                              : WaitDeferred(**listener, wait_for));
}

absl::StatusOr<Awaited<v1::Listener>> Registry::CloseFinished(
    const std::string& id, v1::WaitFor wait_for) const {
  const auto listener = Find(id);
  if (!listener.ok()) return listener.status();
  return Await(*listener, WaitDeferred(**listener, wait_for));
}

absl::Status Registry::Delete(const std::string& id) {
  const auto listener = Find(id);
  if (!listener.ok()) return listener.status();
  if (!(*listener)->close_finished().determined() ||
      (*listener)->has_connections()) {
    return ListenerOpen(id);
  }
  Forget(*listener);
  return absl::OkStatus();
}

void Registry::Forget(Resource resource) {
  resource->OnDeleted();
  listener_memory_ -= resource->MemoryUse();
  listeners_.erase(resource->id());
  closed_determined_.erase(resource->close_number());
}

void Registry::OnHandlersDetermined(Running::iterator running) {
  const Resource resource = std::move(*running);
  running_.erase(running);
  if (!resource->is_deleted()) {
    closed_determined_.emplace(resource->close_number(), resource);
    if (closed_determined_.size() > kMaxClosed) ForgetOldest();
  }
  CheckAllDetermined();
}

void Registry::ForgetOldest() { Forget(closed_determined_.begin()->second); }

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
}

Task<> Registry::TearDown() {
  BeginShutdown();
  dialler_.CloseAll(ExistingConnections::kReset);
  const std::list<Resource> running = running_;
  for (const Resource& resource : running) co_await resource->TearDown();
  // The last of what is posted to this object determines this.
  co_await AllHandlersDetermined().Wait();
}

}  // namespace portreeve::server
