#include "server/watch/snapshot.h"

#include <limits>
#include <set>
#include <utility>

#include "absl/strings/strip.h"
#include "lib/base/check.h"
#include "portreeve/v1/event.pb.h"
#include "server/api/backward_writer.h"
#include "server/api/names.h"
#include "server/api/timestamp.h"
#include "server/events/connection_record.h"
#include "server/events/event_encoding.h"
#include "server/events/listener_record.h"

namespace portreeve::server {
namespace {

constexpr int kAll = std::numeric_limits<int>::max();
// What an entry takes beside its bytes.
constexpr size_t kEntryBytes = 64;

// Adds what was written, unless the message would be too large; gives whether
// it has.
bool Append(const BackwardWriter& writer, std::string& message) {
  if (!message.empty() &&
      message.size() + writer.size() > kMaxEventMessageBytes) {
    return false;
  }
  message.append(writer.bytes().data(), writer.size());
  return true;
}

}  // namespace

bool Snapshot::Step() {
  PORTREEVE_DCHECK(!is_complete_);
  FollowLog();
  is_complete_ = StepListeners(step_size_.listeners) &&
                 StepConnections(step_size_.connections);
  if (is_complete_) time_ = UnixNanosNow();
  return is_complete_;
}

void Snapshot::FollowLog() {
  if (log_.first_revision() > seen_ + 1) {
    // The log does not have all of it any more, and may not have it the next
    // time either.
    Clear();
    StepListeners(kAll);
    StepConnections(kAll);
    seen_ = log_.last_revision();
  }
  // A connection that comes or goes is among the counts of its listener.
  std::set<absl::string_view> listeners;
  for (int64_t i = seen_ + 1; i <= log_.last_revision(); ++i) {
    const EventRing::Entry event = log_.at(i);
    if (event.form == EventForm::kPacked) LookAgain(IdOf(event.bytes));
    listeners.insert(event.listener_name);
  }
  for (const absl::string_view name : listeners) LookAgain(name);
  seen_ = log_.last_revision();
}

void Snapshot::LookAgain(int64_t connection) {
  if (connection > last_connection_) return;  // Its turn comes.
  RemoveConnection(connection);
  const auto live = registry_.connections().Find(connection);
  if (live != nullptr) PutConnection(connection, *live);
}

void Snapshot::LookAgain(absl::string_view listener_name) {
  if (!absl::ConsumePrefix(&listener_name, ListenerName(""))) return;
  const std::string id(listener_name);
  if (id > last_listener_) return;
  RemoveListener(id);
  const auto found = registry_.listeners().find(id);
  if (found != registry_.listeners().end()) PutListener(id, *found->second);
}

bool Snapshot::StepListeners(int most) {
  if (what_ == SnapshotOf::kNothing) return true;
  const Registry::Listeners& listeners = registry_.listeners();
  auto it = listeners.upper_bound(last_listener_);
  for (; it != listeners.end() && most > 0; ++it, --most) {
    PutListener(it->first, *it->second);
    last_listener_ = it->first;
  }
  return it == listeners.end();
}

bool Snapshot::StepConnections(int most) {
  if (what_ != SnapshotOf::kListenersAndConnections) return true;
  const ConnectionTable::Entries& entries = registry_.connections().entries();
  auto it = entries.upper_bound(last_connection_);
  for (; it != entries.end() && most > 0; ++it, --most) {
    PutConnection(it->first, *it->second);
    last_connection_ = it->first;
  }
  return it == entries.end();
}

void Snapshot::PutListener(const std::string& id,
                           const ListenerResource& listener) {
  const ListenerRecord record = listener.Record();
  if (!filter_.Passes(v1::EVENT_KIND_LISTENER_CREATED,
                      std::string(record.name))) {
    return;
  }
  BackwardWriter writer;
  WriteListener(record, writer);
  listeners_.emplace_hint(listeners_.end(), id, writer.bytes());
  bytes_ += kEntryBytes + writer.size();
}

void Snapshot::RemoveListener(const std::string& id) {
  const auto it = listeners_.find(id);
  if (it == listeners_.end()) return;
  bytes_ -= kEntryBytes + it->second.size();
  listeners_.erase(it);
}

void Snapshot::PutConnection(int64_t id, const LiveConnection& live) {
  if (live.facts.is_opening) return;  // It was told in no event.
  if (!filter_.Passes(v1::EVENT_KIND_CONNECTION_ACCEPTED, NameOf(live.facts))) {
    return;
  }
  const PackedConnection packed = Pack(RecordOf(live));
  connections_.emplace_hint(
      connections_.end(), id,
      Packed{live.facts.listener, std::string(packed.bytes())});
  bytes_ += kEntryBytes + packed.bytes().size();
}

void Snapshot::RemoveConnection(int64_t id) {
  const auto it = connections_.find(id);
  if (it == connections_.end()) return;
  bytes_ -= kEntryBytes + it->second.bytes.size();
  connections_.erase(it);
}

void Snapshot::Clear() {
  listeners_.clear();
  connections_.clear();
  bytes_ = 0;
  last_listener_.clear();
  last_connection_ = 0;
}

std::string Snapshot::TakeMessage() {
  PORTREEVE_DCHECK(is_complete_ && !is_done_);
  const EventStamp stamp{seen_, log_.instance_id(), time_};
  std::string message;
  size_t taken = 0;
  auto listener = listeners_.begin();
  for (; listener != listeners_.end(); ++listener) {
    BackwardWriter writer;
    WriteListenerEvent(stamp, v1::EVENT_KIND_LISTENER_CREATED, listener->second,
                       writer);
    if (!Append(writer, message)) break;
    taken += kEntryBytes + listener->second.size();
  }
  auto connection = connections_.begin();
  const auto end =
      listener == listeners_.end() ? connections_.end() : connection;
  for (; connection != end; ++connection) {
    const Packed& packed = connection->second;
    BackwardWriter writer;
    WriteConnectionEvent(stamp, v1::EVENT_KIND_CONNECTION_ACCEPTED,
                         packed.listener ? *packed.listener : "", packed.bytes,
                         writer);
    if (!Append(writer, message)) break;
    taken += kEntryBytes + packed.bytes.size();
  }
  bool is_done = false;
  if (listener == listeners_.end() && connection == connections_.end()) {
    v1::Event done;
    done.mutable_snapshot_done();
    const std::string encoded = log_.Stamp(std::move(done), seen_);
    is_done = message.empty() ||
              message.size() + encoded.size() <= kMaxEventMessageBytes;
    if (is_done) message += encoded;
  }
  listeners_.erase(listeners_.begin(), listener);
  connections_.erase(connections_.begin(), connection);
  bytes_ -= taken;
  is_done_ = is_done;
  return message;
}

}  // namespace portreeve::server
