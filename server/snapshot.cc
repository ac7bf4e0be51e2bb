#include "server/snapshot.h"

#include <utility>

#include "portreeve/v1/event.pb.h"
#include "server/event_log.h"
#include "server/names.h"
#include "server/registry.h"
#include "server/watch_filter.h"

namespace portreeve::server {
namespace {

// Puts events together to messages.
class Packer {
 public:
  explicit Packer(const EventLog& log)
      : log_(log), revision_(log.last_revision()) {}

  void Add(v1::Event event) {
    const std::string encoded = log_.Stamp(std::move(event), revision_).encoded;
    if (messages_.empty() ||
        messages_.back().size() + encoded.size() > kMaxEventMessageBytes) {
      messages_.emplace_back();
    }
    messages_.back() += encoded;
  }
  EventMessages Take() { return std::move(messages_); }

 private:
  const EventLog& log_;
  const int64_t revision_;
  EventMessages messages_;
};

}  // namespace

EventMessages TakeSnapshot(const Registry& registry, const EventLog& log,
                           const WatchFilter& filter) {
  Packer packer(log);
  for (const auto& [id, listener] : registry.listeners()) {
    if (!filter.Passes(v1::EVENT_KIND_LISTENER_CREATED, ListenerName(id))) {
      continue;
    }
    v1::Event event;
    *event.mutable_listener_created()->mutable_listener() =
        listener->Describe();
    packer.Add(std::move(event));
  }
  for (const auto& [id, live] : registry.connections().entries()) {
    if (!filter.Passes(v1::EVENT_KIND_CONNECTION_ACCEPTED,
                       live->facts.listener)) {
      continue;
    }
    v1::Event event;
    *event.mutable_connection_accepted()->mutable_connection() =
        Describe(*live);
    packer.Add(std::move(event));
  }
  v1::Event done;
  done.mutable_snapshot_done();
  packer.Add(std::move(done));
  return packer.Take();
}

}  // namespace portreeve::server
