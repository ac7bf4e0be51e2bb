#include "server/registry/registry_state.h"

#include <algorithm>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "lib/base/guarded.h"
#include "lib/base/log.h"
#include "server/registry/listener_row.h"
#include "server/state/state_errors.h"

namespace portreeve::server {
namespace {

bool IsClosedByShutdown(const ListenerRecord& record) {
  return record.close_cause == v1::CLOSE_CAUSE_SHUTDOWN;
}

}  // namespace

// What the loop's queue has of a flush.
struct RegistryState::Posted {
  RegistryState* owner;
  HandlerMemory memory;
};

RegistryState::RegistryState(Executor executor)
    : executor_(std::move(executor)), posted_(std::make_shared<Posted>()) {
  posted_->owner = this;
}

RegistryState::~RegistryState() { posted_->owner = nullptr; }

absl::Status RegistryState::Start(OpenedState state, StateStore::Owner owner) {
  auto store = StateStore::Start(executor_, std::move(state), std::move(owner));
  if (!store.ok()) return store.status();
  store_ = *std::move(store);
  return absl::OkStatus();
}

absl::Status RegistryState::StartSuspended(SuspendedState state,
                                           const std::string& version,
                                           StateStore::Owner owner) {
  auto store = StateStore::StartSuspended(executor_, std::move(state), version,
                                          std::move(owner));
  if (!store.ok()) return store.status();
  store_ = *std::move(store);
  return absl::OkStatus();
}

void RegistryState::Suspend(Done done) {
  Flush();
  store_->Suspend(std::move(done));
}

void RegistryState::GiveUp(const absl::Status& status) {
  const std::vector<Done> waiting = std::exchange(waiting_, {});
  noted_.clear();
  forgotten_.clear();
  // Those that it answers ask whether there is a state.
  const std::unique_ptr<StateStore> store = std::move(store_);
  store->GiveUp(status);
  for (const Done& f : waiting) {
    Guarded(executor_.monitor(), [&] { f(status); });
  }
}

const StateListener* RegistryState::FindUnknown(const std::string& id) const {
  const auto found = unknown_.find(id);
  return found == unknown_.end() ? nullptr : &found->second;
}

void RegistryState::KeepUnknown(const std::string& id,
                                const StateListener& record) {
  StateListener known = record;
  known.DiscardUnknownFields();
  if (known.ByteSizeLong() != record.ByteSizeLong()) unknown_[id] = record;
}

ListenerRow RegistryState::RowOf(const ListenerResource& listener,
                                 ListenerRecord record) const {
  if (IsClosedByShutdown(record) && listener.is_close_wanted()) {
    record.close_cause = v1::CLOSE_CAUSE_CALLED;
  }
  const StateListener::Source source =
      listener.source() == v1::LISTENER_SOURCE_INHERITED
          ? StateListener::SOURCE_INHERITED
          : StateListener::SOURCE_CLIENT;
  const auto unknown = unknown_.find(listener.id());
  if (unknown == unknown_.end()) {
    return {listener.id(), EncodeRow(record, listener.close_number(), source)};
  }
  StateListener kept = unknown->second;
  Keep(ToProto(record), listener.close_number(), kept);
  kept.set_source(source);
  return server::RowOf(listener.id(), kept);
}

RequestRow RegistryState::RowOf(const RequestKey& key,
                                const RequestCache::Entry& entry) {
  return {entry.seq, key.request_id, EncodeRow(key, entry)};
}

void RegistryState::Write(std::vector<StateChange> changes, const Done& done) {
  Flush();  // An id that was forgotten may be that of a new listener.
  const absl::Status status =
      store_->Write(ChangeKind::kIntent, std::move(changes), done);
  if (!status.ok()) done(status);
}

bool RegistryState::IsToBeKept(const ListenerResource& listener) const {
  return Keeps(listener) && !listener.is_deleted() &&
         deleting_.count(listener.uid()) == 0;
}

void RegistryState::NoteListener(const Resource& listener) {
  if (!IsToBeKept(*listener)) return;
  if (std::find(noted_.begin(), noted_.end(), listener) == noted_.end()) {
    noted_.push_back(listener);
  }
  FlushLater();
}

void RegistryState::NoteForgotten(const ListenerResource& listener) {
  OnForgotten(listener);
  if (!Keeps(listener)) return;
  forgotten_.push_back(EraseListener{listener.id()});
  FlushLater();
}

void RegistryState::OnForgotten(const ListenerResource& listener) {
  unknown_.erase(listener.id());
}

void RegistryState::NoteForgotten(const std::vector<int64_t>& requests) {
  for (const int64_t seq : requests) forgotten_.push_back(EraseRequest{seq});
  if (!requests.empty()) FlushLater();
}

void RegistryState::BeginDelete(const ListenerResource& listener) {
  deleting_.insert(listener.uid());
}

void RegistryState::EndDelete(const Resource& listener) {
  deleting_.erase(listener->uid());
  // What was not noted meanwhile, where it is not deleted.
  NoteListener(listener);
}

void RegistryState::AwaitClosed(const Resource& listener, const Done& done) {
  if (!IsToBeKept(*listener) || listener->is_close_recorded()) {
    return done(absl::OkStatus());
  }
  waiting_.push_back(done);
  NoteListener(listener);
}

void RegistryState::FlushLater() {
  if (posted_->memory.is_used()) return;
  asio::post(
      LoopOf(executor_),
      asio::bind_allocator(posted_->memory.allocator(), [posted = posted_] {
        if (posted->owner == nullptr) return;
        posted->owner->Flush();
      }));
}

void RegistryState::Flush() {
  if (forgotten_.empty() && noted_.empty()) return;
  std::vector<StateChange> changes = std::exchange(forgotten_, {});
  std::vector<Resource> closed;
  for (const Resource& listener : std::exchange(noted_, {})) {
    if (!IsToBeKept(*listener)) continue;
    const ListenerRecord record = listener->Record();
    changes.push_back(RowOf(*listener, record));
    if (record.is_closed &&
        (!IsClosedByShutdown(record) || listener->is_close_wanted())) {
      closed.push_back(listener);
    }
  }
  const size_t num_waiting = waiting_.size();
  auto done = [closed = std::move(closed),
               waiting = std::exchange(waiting_, {}),
               monitor = executor_.monitor()](const absl::Status& status) {
    for (const Resource& listener : closed) {
      if (status.ok()) listener->NoteCloseRecorded();
    }
    for (const Done& f : waiting) Guarded(monitor, [&] { f(status); });
  };
  if (changes.empty()) return done(absl::OkStatus());
  const absl::Status status =
      store_->Write(ChangeKind::kFact, std::move(changes), done, num_waiting);
  if (!status.ok()) done(status);
}

void RegistryState::Stop(Done done) {
  Flush();
  store_->Stop(std::move(done));
}

}  // namespace portreeve::server
