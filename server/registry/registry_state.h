// RegistryState: what is on disk of the registry's listeners and requests.
#ifndef PORTREEVE_SERVER_REGISTRY_REGISTRY_STATE_H_
#define PORTREEVE_SERVER_REGISTRY_REGISTRY_STATE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "lib/base/executor.h"
#include "lib/base/handler_memory.h"
#include "portreeve/v1/listener.pb.h"
#include "server/registry/listener_resource.h"
#include "server/registry/request_cache.h"
#include "server/state/state_records.h"
#include "server/state/state_store.h"

namespace portreeve::server {

// Makes rows of listeners and requests, and writes them to a StateStore.  A
// listener of the command line is never written.
//
// How a listener has ended is written in a step after that in which it was
// noted, so that what follows it closely is one change.
//
// Threads: loop thread only.
// Lifetime: it must not be destroyed in one of its calls; the loop must outlive
// it.
class RegistryState {
 public:
  using Resource = std::shared_ptr<ListenerResource>;
  using Done = StateStore::Done;

  explicit RegistryState(Executor executor);
  RegistryState(const RegistryState&) = delete;
  RegistryState& operator=(const RegistryState&) = delete;
  ~RegistryState();

  // Begins to write.  `rows` gives all that is true (StateStore::Owner), made
  // by RowOf().
  // Errors: those of StateStore::Start().
  absl::Status Start(OpenedState state, StateStore::Owner owner);
  // Whether there is a state; the methods that follow are for when there is.
  bool is_on() const { return store_ != nullptr; }
  bool Keeps(const ListenerResource& listener) const {
    return is_on() && listener.source() != v1::LISTENER_SOURCE_FLAG;
  }

  // Keeps the fields of `record` that this version does not know, for when the
  // listener is written again.
  void KeepUnknown(const std::string& id, const StateListener& record);

  // Gives the row of a listener that is as `record` says.
  ListenerRow RowOf(const ListenerResource& listener,
                    ListenerRecord record) const;
  static RequestRow RowOf(const RequestKey& key,
                          const RequestCache::Entry& entry);

  // Writes an intent, and calls `done` once it is on disk, or with the error
  // for which it is not.
  void Write(std::vector<StateChange> changes, const Done& done);

  // These are facts.  The listener is as it is when the row is made; one that
  // is deleted by then is passed over.
  void NoteListener(const Resource& listener);
  void NoteForgotten(const ListenerResource& listener);
  void NoteForgotten(const std::vector<int64_t>& requests);
  // The same of a listener that Write() has erased.
  void OnForgotten(const ListenerResource& listener);
  // Between these two nothing is noted of a listener that is to be deleted.
  void BeginDelete(const ListenerResource& listener);
  void EndDelete(const Resource& listener);

  // Calls `done` once it is on disk that the listener is closed, or with the
  // error for which it is not.
  void AwaitClosed(const Resource& listener, const Done& done);

  // These are for when another process of the daemon has the state, or will
  // have it; see StateStore.
  absl::Status StartSuspended(SuspendedState state, const std::string& version,
                              StateStore::Owner owner);
  void Suspend(Done done);
  void Resume() { store_->Resume(); }
  // Answers all that waits with `status`, and writes nothing more; there is no
  // state from then on.
  void GiveUp(const absl::Status& status);
  int lock() const { return store_->lock(); }
  // Gives what KeepUnknown() has kept of a listener; null: nothing.
  const StateListener* FindUnknown(const std::string& id) const;

  // Writes what was noted, ends as StateStore::Stop() does, and calls `done`.
  void Stop(Done done);

  const StoreStatus& status() const { return store_->status(); }

 private:
  struct Posted;

  void FlushLater();
  void Flush();
  bool IsToBeKept(const ListenerResource& listener) const;

  const Executor executor_;
  std::unique_ptr<StateStore> store_;
  std::map<std::string, StateListener> unknown_;  // By id.
  std::set<std::string> deleting_;                // Uids.
  std::vector<Resource> noted_;
  std::vector<StateChange> forgotten_;
  std::vector<Done> waiting_;  // For what is noted.
  std::shared_ptr<Posted> posted_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_REGISTRY_STATE_H_
