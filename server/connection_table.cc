#include "server/connection_table.h"

#include <utility>

#include "lib/check.h"
#include "server/convert.h"
#include "server/names.h"

namespace portreeve::server {
namespace {

// With these reasons the peer still gets data until the handler ends.
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
  if (facts.claim && !facts.claim->is_taken()) {
    return v1::CONNECTION_STATE_UNCLAIMED;
  }
  return v1::CONNECTION_STATE_OPEN;
}

}  // namespace

v1::Connection Describe(const AnyConnection& connection,
                        const ConnectionFacts& facts) {
  v1::Connection message;
  message.set_name(ConnectionName(connection.id()));
  message.set_listener(facts.listener);
  message.set_direction(facts.direction);
  message.set_state(StateOf(connection, facts));
  *message.mutable_peer() = ToProto(connection.peer());
  *message.mutable_local() = ToProto(connection.local());
  if (facts.upstream) *message.mutable_upstream() = ToProto(*facts.upstream);
  message.set_bytes_received(connection.bytes_received());
  message.set_bytes_sent(connection.bytes_sent());
  message.set_bytes_to_write(static_cast<int64_t>(connection.bytes_to_write()));
  *message.mutable_create_time() = facts.create_time;
  if (facts.close_time) *message.mutable_close_time() = *facts.close_time;
  message.set_close_reason(ToProto(connection.reason()));
  return message;
}

std::shared_ptr<const LiveConnection> ConnectionTable::Add(
    std::shared_ptr<AnyConnection> connection, ConnectionFacts facts) {
  auto live = std::make_shared<LiveConnection>();
  live->connection = std::move(connection);
  live->facts = std::move(facts);
  live->facts.create_time = TimestampNow();
  const bool added = entries_.emplace(live->connection->id(), live).second;
  PORTREEVE_CHECK(added);
  return live;
}

std::shared_ptr<const LiveConnection> ConnectionTable::Remove(int64_t id) {
  auto node = entries_.extract(id);
  PORTREEVE_CHECK(!node.empty());
  node.mapped()->facts.close_time = TimestampNow();
  return node.mapped();
}

std::shared_ptr<LiveConnection> ConnectionTable::Find(int64_t id) const {
  const auto it = entries_.find(id);
  return it == entries_.end() ? nullptr : it->second;
}

}  // namespace portreeve::server
