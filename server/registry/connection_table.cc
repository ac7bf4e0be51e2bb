#include "server/registry/connection_table.h"

#include <utility>

#include "lib/base/check.h"
#include "server/api/convert.h"
#include "server/api/timestamp.h"
#include "server/registry/opening_connection.h"

namespace portreeve::server {
namespace {

// Whether the peer still gets data until the handler ends.
bool GoesOn(CloseReason reason) {
  return reason == CloseReason::kNone || reason == CloseReason::kPeerClosed ||
         reason == CloseReason::kUpstreamClosed;
}

v1::ConnectionState StateOf(const AnyConnection& connection,
                            const ConnectionFacts& facts) {
  if (!connection.is_open()) return v1::CONNECTION_STATE_CLOSED;
  if (facts.close_called || !GoesOn(connection.reason())) {
    return v1::CONNECTION_STATE_CLOSING;
  }
  if (facts.is_opening) return v1::CONNECTION_STATE_OPENING;
  if (facts.claim && !facts.claim->is_taken()) {
    return v1::CONNECTION_STATE_UNCLAIMED;
  }
  return v1::CONNECTION_STATE_OPEN;
}

}  // namespace

ConnectionRecord RecordOf(const AnyConnection& connection,
                          const ConnectionFacts& facts) {
  ConnectionRecord record;
  record.id = connection.id();
  record.direction = facts.listener != nullptr ? v1::DIRECTION_INBOUND
                                               : v1::DIRECTION_OUTBOUND;
  record.state = StateOf(connection, facts);
  record.close_reason = ToProto(connection.reason());
  if (facts.is_opening) {
    record.peer =
        static_cast<const OpeningConnection&>(connection).known_peer();
  } else {
    record.peer = &connection.peer();
    record.local = &connection.local();
  }
  record.upstream = facts.upstream.get();
  record.bytes_received = connection.bytes_received();
  record.bytes_sent = connection.bytes_sent();
  record.bytes_to_write = static_cast<int64_t>(connection.bytes_to_write());
  record.create_time = static_cast<int64_t>(facts.create_time);
  record.close_time = facts.close_time;
  record.failure = facts.failure.get();
  return record;
}

const std::string& NameOf(const ConnectionFacts& facts) {
  static const std::string* const kNone = new std::string();
  return facts.listener ? *facts.listener : *kNone;
}

v1::Connection Describe(const AnyConnection& connection,
                        const ConnectionFacts& facts) {
  v1::Connection message = ToProto(RecordOf(connection, facts), NameOf(facts));
  if (facts.is_held) message.set_held_by_predecessor(true);
  return message;
}

std::shared_ptr<const LiveConnection> ConnectionTable::Add(
    std::shared_ptr<AnyConnection> connection, ConnectionFacts&& facts) {
  facts.create_time = static_cast<uint64_t>(UnixNanosNow());
  return Restore(std::move(connection), std::move(facts));
}

std::shared_ptr<const LiveConnection> ConnectionTable::Restore(
    std::shared_ptr<AnyConnection> connection, ConnectionFacts&& facts) {
  auto live = std::make_shared<LiveConnection>();
  live->connection = std::move(connection);
  live->facts = std::move(facts);
  const int64_t id = live->connection->id();
  const size_t before = entries_.size();
  entries_.emplace_hint(entries_.end(), id, live);
  PORTREEVE_CHECK(entries_.size() == before + 1);
  return live;
}

std::shared_ptr<const LiveConnection> ConnectionTable::Replace(
    std::shared_ptr<AnyConnection> connection) {
  const auto it = entries_.find(connection->id());
  if (it == entries_.end()) return nullptr;
  LiveConnection& live = *it->second;
  live.connection = std::move(connection);
  live.facts.is_opening = false;
  live.facts.create_time = static_cast<uint64_t>(UnixNanosNow());
  return it->second;
}

std::shared_ptr<const LiveConnection> ConnectionTable::Remove(int64_t id) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return nullptr;
  const std::shared_ptr<LiveConnection> live = std::move(it->second);
  entries_.erase(it);
  live->facts.close_time = UnixNanosNow();
  return live;
}

std::shared_ptr<LiveConnection> ConnectionTable::Find(int64_t id) const {
  const auto it = entries_.find(id);
  return it == entries_.end() ? nullptr : it->second;
}

}  // namespace portreeve::server
