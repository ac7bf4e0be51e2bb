#include "client/cli/listener_changes.h"

#include <utility>
#include <vector>

namespace portreeve::cli {

void ListenerChanges::AddKinds(v1::WatchEventsRequest& request) {
  for (const v1::EventKind kind :
       {v1::EVENT_KIND_LISTENER_CREATED, v1::EVENT_KIND_LISTENER_UPDATED,
        v1::EVENT_KIND_LISTENER_CLOSE_STARTED,
        v1::EVENT_KIND_LISTENER_CLOSE_FINISHED,
        v1::EVENT_KIND_LISTENER_HANDLERS_DETERMINED,
        v1::EVENT_KIND_LISTENER_DELETED, v1::EVENT_KIND_LISTENER_RESTORED,
        v1::EVENT_KIND_LISTENER_FAILED}) {
    request.add_kinds(kind);
  }
}

void ListenerChanges::OnSnapshotBegun() {
  in_snapshot_ = true;
  snapshot_.clear();
}

std::string ListenerChanges::Take(const v1::Event& event, absl::Time now) {
  switch (event.kind_case()) {
    case v1::Event::kListenerCreated: {
      const v1::Listener& listener = event.listener_created().listener();
      if (!in_snapshot_) return OnChange(listener, now);
      snapshot_[listener.name()] = listener;
      return "";
    }
    case v1::Event::kSnapshotDone:
      return OnSnapshotDone(now);
    case v1::Event::kListenerUpdated:
      return OnChange(event.listener_updated().listener(), now);
    case v1::Event::kListenerCloseStarted:
      return OnChange(event.listener_close_started().listener(), now);
    case v1::Event::kListenerCloseFinished:
      return OnChange(event.listener_close_finished().listener(), now);
    case v1::Event::kListenerHandlersDetermined: {
      // Nothing need have changed since it was closed, and it may be deleted,
      // and its name another one's.
      const v1::Listener& listener =
          event.listener_handlers_determined().listener();
      const auto known = known_.find(listener.name());
      if (known == known_.end() || known->second.uid() != listener.uid() ||
          ListenerTable::LookAlike(known->second, listener)) {
        return "";
      }
      return OnChange(listener, now);
    }
    case v1::Event::kListenerRestored:
      return OnChange(event.listener_restored().listener(), now);
    case v1::Event::kListenerFailed:
      return OnChange(event.listener_failed().listener(), now);
    case v1::Event::kListenerDeleted: {
      const v1::Listener& listener = event.listener_deleted().listener();
      known_.erase(listener.name());
      return table_.DeletedLine(listener, now);
    }
    default:
      return "";
  }
}

std::string ListenerChanges::OnSnapshotDone(absl::Time now) {
  if (!std::exchange(in_snapshot_, false)) return "";
  const auto before = std::exchange(known_, std::exchange(snapshot_, {}));
  if (!std::exchange(has_table_, true)) {
    std::vector<v1::Listener> listeners;
    for (const auto& [name, listener] : known_) listeners.push_back(listener);
    return table_.Lines(listeners, false, now);
  }
  std::string lines;
  for (const auto& [name, listener] : before) {
    if (known_.count(name) == 0) lines += table_.DeletedLine(listener, now);
  }
  for (const auto& [name, listener] : known_) {
    const auto former = before.find(name);
    if (former == before.end() || former->second.uid() != listener.uid() ||
        !ListenerTable::LookAlike(former->second, listener)) {
      lines += table_.Line(listener, now);
    }
  }
  return lines;
}

std::string ListenerChanges::OnChange(const v1::Listener& listener,
                                      absl::Time now) {
  known_[listener.name()] = listener;
  return table_.Line(listener, now);
}

}  // namespace portreeve::cli
