// Registry: what changes listeners, and with a state waits for the disk.
#include <google/protobuf/util/message_differencer.h>

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "lib/base/check.h"
#include "server/api/errors.h"
#include "server/api/names.h"
#include "server/api/spec.h"
#include "server/api/timestamp.h"
#include "server/api/uuid.h"
#include "server/registry/registry.h"
#include "server/registry/self_forward.h"

namespace portreeve::server {
namespace {

using google::protobuf::util::MessageDifferencer;

absl::Status ListenerOpen(const std::string& id) {
  return ServerError(
      absl::StatusCode::kFailedPrecondition, "LISTENER_OPEN",
      absl::StrCat(ListenerName(id), " is not closed or has connections"));
}

// `error` has kept a close from the disk.
absl::Status ClosedButNotRecorded(const std::string& id,
                                  const absl::Status& error) {
  return ServerError(
      error.code(), ReasonOf(error),
      absl::StrCat(ListenerName(id),
                   " is closed, but not recorded: it opens again after a "
                   "restart, unless it is recorded by then (",
                   absl::string_view(error.message()), ")"));
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

RequestKey KeyOf(const ListenerDraft& draft) {
  return {draft.caller, draft.request_id};
}

}  // namespace

// A creation that waits for the disk.
struct Registry::Creation {
  Resource listener;
  EncodedListener answer;
  RequestKey request;
  RequestCache::Entry entry;  // Of the request, if there is one.
  Then<EncodedListener> then;

  bool has_request() const { return !request.request_id.empty(); }
};

absl::StatusOr<std::optional<EncodedListener>> Registry::FormerAnswer(
    const ListenerDraft& draft) const {
  if (draft.request_id.empty()) return std::nullopt;
  auto answer = requests_.Find(KeyOf(draft), draft.fingerprint);
  if (!answer.ok()) return answer.status();
  if (!*answer) return std::nullopt;
  if (!Remembers(**answer)) {
    return ServerError(
        absl::StatusCode::kFailedPrecondition, "LISTENER_CLOSED",
        absl::StrCat((*answer)->name(),
                     ", which this request has created, is deleted"));
  }
  if (draft.validate_only) {
    (*answer)->clear_uid();
    (*answer)->clear_status();
  }
  return Encode(**answer);
}

void Registry::Create(ListenerDraft draft, Then<EncodedListener> then) {
  if (!creating_requests_.empty() && !draft.request_id.empty()) {
    const auto creating =
        creating_requests_.find({draft.caller, draft.request_id});
    if (creating != creating_requests_.end()) {
      creating->second.push_back([this, draft, then] { Create(draft, then); });
      return;
    }
  }
  auto former = FormerAnswer(draft);
  if (!former.ok()) return then(former.status());
  if (*former) return then(**std::move(former));
  if (auto s = CheckCreatable(draft); !s.ok()) return then(s);
  if (draft.validate_only) return then(Validate(draft));
  const bool is_kept =
      state_.is_on() && draft.source != v1::LISTENER_SOURCE_FLAG;
  if (is_kept) {
    CreateKept(draft, std::move(then));
  } else {
    then(CreateNow(draft));
  }
}

absl::StatusOr<EncodedListener> Registry::Validate(
    const ListenerDraft& draft) const {
  if (auto s = CheckBindable(draft.spec->where_to_listen()); !s.ok()) return s;
  v1::Listener listener;
  if (!draft.listener_id.empty()) {
    listener.set_name(ListenerName(draft.listener_id));
  }
  *listener.mutable_spec() = draft.spec->message();
  return Encode(listener);
}

absl::StatusOr<Registry::Resource> Registry::Open(const ListenerDraft& draft) {
  ListenerIdentity identity;
  identity.id = draft.listener_id.empty() ? ChooseId() : draft.listener_id;
  identity.uid = NewUuid();
  identity.create_time = UnixNanosNow();
  identity.source = draft.source;
  auto listener = std::make_shared<ListenerResource>(
      executor_, shared_, std::move(identity), draft.spec);
  const AnyWhereToListen& where = draft.spec->where_to_listen();
  auto socket = given_.Take(listener->id(), where);
  if (auto s = listener->Open(where, std::move(socket)); !s.ok()) {
    return WithFieldPrefix(ExplainAddressInUse(s, where),
                           "spec.where_to_listen");
  }
  return listener;
}

absl::StatusOr<EncodedListener> Registry::CreateNow(
    const ListenerDraft& draft) {
  const auto listener = Open(draft);
  if (!listener.ok()) return listener.status();
  Add(*listener);
  Announce(*listener, v1::EVENT_KIND_LISTENER_CREATED);
  EncodedListener answer = (*listener)->DescribeEncoded();
  if (!draft.request_id.empty()) {
    Remember(KeyOf(draft), {++last_request_, draft.fingerprint, answer.bytes});
  }
  return answer;
}

void Registry::CreateKept(const ListenerDraft& draft,
                          Then<EncodedListener> then) {
  const auto listener = Open(draft);
  if (!listener.ok()) return then(listener.status());
  (*listener)->Hold();
  absl::Cleanup abandon = [&] { Abandon(*listener); };
  auto creation = std::make_shared<Creation>();
  creation->listener = *listener;
  creation->answer = (*listener)->DescribeEncoded();
  creation->then = std::move(then);
  std::vector<StateChange> changes;
  changes.push_back(state_.RowOf(**listener, (*listener)->Record()));
  if (!draft.request_id.empty()) {
    creation->request = KeyOf(draft);
    creation->entry = {++last_request_, draft.fingerprint,
                       creation->answer.bytes};
    changes.push_back(RegistryState::RowOf(creation->request, creation->entry));
    creating_requests_[{draft.caller, draft.request_id}];
  }
  creating_.insert((*listener)->id());
  ++num_waiting_;
  std::move(abandon).Cancel();
  state_.Write(std::move(changes), [this, creation](const absl::Status& s) {
    OnCreated(creation, s);
  });
}

void Registry::OnCreated(const std::shared_ptr<Creation>& creation,
                         const absl::Status& status) {
  const Resource& listener = creation->listener;
  creating_.erase(listener->id());
  Waiting waiting;
  if (creation->has_request()) {
    const auto found = creating_requests_.find(
        {creation->request.caller, creation->request.request_id});
    waiting = std::move(found->second);
    creating_requests_.erase(found);
  }
  if (status.ok()) {
    Add(listener);
    if (creation->has_request()) {
      Remember(creation->request, std::move(creation->entry));
    }
    Announce(listener, v1::EVENT_KIND_LISTENER_CREATED);
    if (shutting_down_) {
      listener->Close(ExistingConnections::kLeave, CloseCause::kShutdown,
                      CloseReason::kShutdown);
    }
    creation->then(std::move(creation->answer));
  } else {
    Abandon(listener);
    creation->then(status);
  }
  for (const auto& again : waiting) again();
  EndOfWait();
}

void Registry::Remember(const RequestKey& key, RequestCache::Entry entry) {
  const std::vector<int64_t> forgotten =
      requests_.Remember(key, std::move(entry));
  if (state_.is_on()) state_.NoteForgotten(forgotten);
}

void Registry::Abandon(const Resource& resource) {
  AddRunning(resource);
  resource->Abandon();
}

bool Registry::IsChanging(const std::string& id, std::function<void()> again) {
  const auto changing = changing_.find(id);
  if (changing == changing_.end()) return false;
  changing->second.push_back(std::move(again));
  return true;
}

void Registry::BeginChange(const std::string& id) {
  changing_[id];
  ++num_waiting_;
}

void Registry::EndChange(const std::string& id) {
  const auto changing = changing_.find(id);
  const Waiting waiting = std::move(changing->second);
  changing_.erase(changing);
  for (const auto& again : waiting) again();
  EndOfWait();
}

void Registry::EndOfWait() {
  --num_waiting_;
  if (num_waiting_ == 0 && all_answered_) all_answered_->FillIfEmpty();
}

absl::StatusOr<SharedSpec> Registry::CheckUpdate(
    const ListenerResource& listener,
    const v1::UpdateListenerRequest& request) const {
  const auto& mask = request.update_mask();
  if (auto s = CheckMutable(mask); !s.ok()) return s;
  v1::ListenerSpec wanted =
      Merge(listener.spec().message(), request.listener().spec(), mask);
  DropUnknownFields(wanted);
  if (auto s = KeepFileLabel(listener.spec().message(), wanted); !s.ok()) {
    return WithFieldPrefix(s, "listener.spec");
  }
  auto spec = CheckAndFill(std::move(wanted));
  if (!spec.ok()) return WithFieldPrefix(spec.status(), "listener.spec");
  if (ReplacesAll(mask) &&
      (*spec)->where_to_listen() != listener.spec().where_to_listen()) {
    return ImmutableField();
  }
  if (auto s = CheckPolicy(**spec, "listener.spec"); !s.ok()) return s;
  if (listener.is_closed()) return ListenerClosed(ListenerName(listener.id()));
  if (auto s = CheckNoLoop(**spec, listener.listening_on(), loops_); !s.ok()) {
    return WithFieldPrefix(s, "listener.spec.handler.forward.upstream");
  }
  return spec;
}

void Registry::Update(const std::string& id,
                      const v1::UpdateListenerRequest& request,
                      Then<EncodedListener> then) {
  if (!changing_.empty() && IsChanging(id, [this, id, request, then] {
        Update(id, request, then);
      })) {
    return;
  }
  const auto listener = Find(id);
  if (!listener.ok()) return then(listener.status());
  const auto checked = CheckUpdate(**listener, request);
  if (!checked.ok()) return then(checked.status());
  const SharedSpec& spec = *checked;
  ListenerRecord updated = (*listener)->Record();
  updated.spec = spec->encoded();
  if (request.validate_only()) return then(Encode(updated));
  if (MessageDifferencer::Equals(spec->message(),
                                 (*listener)->spec().message())) {
    if ((*listener)->is_failed()) TryOpen(*listener);
    return then((*listener)->DescribeEncoded());
  }
  if (!state_.Keeps(**listener)) return then(ApplyUpdate(*listener, spec));
  std::vector<StateChange> changes;
  changes.push_back(state_.RowOf(**listener, updated));
  auto apply = [this, listener = *listener, spec,
                then](const absl::Status& status) {
    absl::Cleanup end = [&] { EndChange(listener->id()); };
    then(status.ok() ? ApplyUpdate(listener, spec) : status);
  };
  BeginChange(id);
  state_.Write(std::move(changes), std::move(apply));
}

absl::StatusOr<EncodedListener> Registry::ApplyUpdate(const Resource& listener,
                                                      SharedSpec spec) {
  // While the disk was waited for, it may have been closed, and others changed.
  absl::Status status;
  if (listener->is_closed())
    status = ListenerClosed(ListenerName(listener->id()));
  if (status.ok() && state_.is_on()) {
    status =
        WithFieldPrefix(CheckNoLoop(*spec, listener->listening_on(), loops_),
                        "listener.spec.handler.forward.upstream");
  }
  if (status.ok()) {
    listener_memory_ -= listener->MemoryUse();
    absl::Cleanup count = [&] { listener_memory_ += listener->MemoryUse(); };
    status = listener->Update(std::move(spec));
  }
  if (!status.ok()) {
    // What it was before is recorded again.
    if (state_.is_on()) state_.NoteListener(listener);
    return status;
  }
  if (listener->is_failed()) TryOpen(listener);
  return listener->DescribeEncoded();
}

absl::StatusOr<Awaited<EncodedListener>> Registry::Close(
    const std::string& id, ExistingConnections existing, v1::WaitFor wait_for) {
  const auto listener = Find(id);
  if (!listener.ok()) return listener.status();
  (*listener)->WantClosed();
  retries_.Remove(id);
  const Deferred<> closed = (*listener)->Close(existing, CloseCause::kCalled,
                                               CloseReason::kListenerClosed);
  // If connections have to be closed, `closed` waits for them, too.
  Deferred<> until = wait_for == v1::WAIT_FOR_CLOSE_FINISHED
                         ? closed
                         : WaitDeferred(**listener, wait_for);
  if (!state_.Keeps(**listener)) {
    auto describe = [listener = *listener] {
      return listener->DescribeEncoded();
    };
    return Awaited<EncodedListener>{std::move(until), std::move(describe)};
  }
  // How the record of it ends.
  const auto recorded = std::make_shared<absl::Status>();
  const Ivar<> answerable(executor_);
  until.Upon([this, listener = *listener, recorded, answerable] {
    state_.AwaitClosed(listener, [=](const absl::Status& status) {
      *recorded = status;
      answerable.Fill();
    });
  });
  auto describe = [listener = *listener,
                   recorded]() -> absl::StatusOr<EncodedListener> {
    if (recorded->ok()) return listener->DescribeEncoded();
    return ClosedButNotRecorded(listener->id(), *recorded);
  };
  return Awaited<EncodedListener>{answerable.deferred(), std::move(describe)};
}

absl::StatusOr<Awaited<v1::Listener>> Registry::CloseFinished(
    const std::string& id, v1::WaitFor wait_for) const {
  const auto listener = Find(id);
  if (!listener.ok()) return listener.status();
  auto describe = [listener = *listener] { return listener->Describe(); };
  return Awaited<v1::Listener>{WaitDeferred(**listener, wait_for),
                               std::move(describe)};
}

void Registry::Delete(const std::string& id,
                      Then<google::protobuf::Empty> then) {
  if (!changing_.empty() &&
      IsChanging(id, [this, id, then] { Delete(id, then); })) {
    return;
  }
  const auto found = Find(id);
  if (!found.ok()) return then(found.status());
  const Resource& listener = *found;
  if (!listener->close_finished().determined() || listener->has_connections()) {
    return then(ListenerOpen(id));
  }
  if (!state_.Keeps(*listener)) {
    Forget(listener);
    return then(google::protobuf::Empty());
  }
  auto forget = [this, listener, then](const absl::Status& status) {
    absl::Cleanup end = [&] { EndChange(listener->id()); };
    // It may have been forgotten, as the oldest of those that are closed.
    if (status.ok() && !listener->is_deleted()) Forget(listener);
    state_.EndDelete(listener);
    if (!status.ok()) return then(status);
    then(google::protobuf::Empty());
  };
  BeginChange(id);
  state_.BeginDelete(*listener);
  state_.Write({EraseListener{id}}, std::move(forget));
}

}  // namespace portreeve::server
