#include "server/watch/snapshot.h"

#include <utility>

#include "portreeve/v1/event.pb.h"
#include "server/api/names.h"
#include "server/events/event_log.h"
#include "server/registry/connection_table.h"
#include "server/registry/registry.h"
#include "server/watch/watch_filter.h"

namespace portreeve::server {
namespace {

// Puts events together to messages.
class Packer {
 public:
  explicit Packer(const EventLog& log)
      : log_(log), revision_(log.last_revision()) {}

  void Add(v1::Event event) { Add(log_.Stamp(std::move(event), revision_)); }
  void Add(const LiveConnection& live) {
    Add(log_.StampConnection(v1::EVENT_KIND_CONNECTION_ACCEPTED, RecordOf(live),
                             live.facts.listener, revision_));
  }
  EventMessages Take() {
    v1::Event done;
    done.mutable_snapshot_done();
    Add(std::move(done));
    return std::move(messages_);
  }

 private:
  void Add(const std::string& encoded) {
    if (messages_.empty() ||
        messages_.back().size() + encoded.size() > kMaxEventMessageBytes) {
      messages_.emplace_back();
    }
    messages_.back() += encoded;
  }

  const EventLog& log_;
  const int64_t revision_;
  EventMessages messages_;
};

}  // namespace

EventMessages TakeSnapshot(const Registry& registry, const EventLog& log,
                           const WatchFilter& filter, SnapshotOf what) {
  Packer packer(log);
  if (what == SnapshotOf::kNothing) return packer.Take();
  for (const auto& [id, listener] : registry.listeners()) {
    if (!filter.Passes(v1::EVENT_KIND_LISTENER_CREATED, ListenerName(id))) {
      continue;
    }
    v1::Event event;
    *event.mutable_listener_created()->mutable_listener() =
        listener->Describe();
    packer.Add(std::move(event));
  }
  if (what == SnapshotOf::kListeners) return packer.Take();
  for (const auto& [id, live] : registry.connections().entries()) {
    if (live->facts.is_opening) continue;  // It was told in no event.
    if (!filter.Passes(v1::EVENT_KIND_CONNECTION_ACCEPTED,
                       NameOf(live->facts))) {
      continue;
    }
    packer.Add(*live);
  }
  return packer.Take();
}

}  // namespace portreeve::server
