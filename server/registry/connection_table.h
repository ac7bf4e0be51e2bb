// ConnectionTable: the live connections of the daemon.
#ifndef PORTREEVE_SERVER_REGISTRY_CONNECTION_TABLE_H_
#define PORTREEVE_SERVER_REGISTRY_CONNECTION_TABLE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/btree_map.h"
#include "lib/net/address.h"
#include "lib/net/any_connection.h"
#include "portreeve/v1/connection.pb.h"
#include "server/api/connection_failure.h"
#include "server/events/connection_record.h"
#include "server/events/event_ring.h"
#include "server/remote/claim.h"

namespace portreeve::server {

// What the daemon knows of a connection beside what the library does.  It is
// small, since each connection has one.
struct ConnectionFacts {
  // The name of the listener that accepted it; null for a dialled one.
  SharedName listener;
  // Not null once a forward handler has reached it, or has tried it in vain;
  // shared by all connections to it.
  std::shared_ptr<const AnyAddress> upstream;
  std::shared_ptr<Claim> claim;  // Of a remote listener's only.
  std::unique_ptr<const ConnectionFailure> failure;  // Null: none.
  uint64_t create_time : 62 = 0;  // Nanoseconds since 1970, as close_time.
  bool close_called : 1 = false;  // Somebody has called for its close.
  bool leaves_line : 1 = false;   // In the access log, when it is closed.
  int64_t close_time : 62 = 0;    // 0: not closed yet.
  bool is_held : 1 = false;       // `connection` is a HeldConnection.
  bool is_opening : 1 = false;    // `connection` is an OpeningConnection.
};

// Gives the listener's name; "" for a dialled connection.
const std::string& NameOf(const ConnectionFacts& facts);

struct LiveConnection {
  std::shared_ptr<AnyConnection> connection;
  ConnectionFacts facts;
};
// The allocator gives 16 bytes more for a larger one.
static_assert(sizeof(LiveConnection) <= 88);

// Gives what clients learn of a connection, for answers.
v1::Connection Describe(const AnyConnection& connection,
                        const ConnectionFacts& facts);
inline v1::Connection Describe(const LiveConnection& live) {
  return Describe(*live.connection, live.facts);
}
// Gives the same for events.  It refers to both arguments, and to what they
// refer to.
ConnectionRecord RecordOf(const AnyConnection& connection,
                          const ConnectionFacts& facts);
inline ConnectionRecord RecordOf(const LiveConnection& live) {
  return RecordOf(*live.connection, live.facts);
}

// Threads: loop thread only.
// Lifetime: it must outlive the servers whose connections it has.
class ConnectionTable {
 public:
  // The entries are in the order of their ids, which is that of their names.
  // Ids grow, so that the nodes of the tree are full.
  using Entries = absl::btree_map<int64_t, std::shared_ptr<LiveConnection>>;

  // Adds an open connection that was accepted now, or a dial that begins.
  std::shared_ptr<const LiveConnection> Add(
      std::shared_ptr<AnyConnection> connection, ConnectionFacts&& facts);
  // Adds one that another process of the daemon has had: its facts stay as they
  // are.
  std::shared_ptr<const LiveConnection> Restore(
      std::shared_ptr<AnyConnection> connection, ConnectionFacts&& facts);
  // Puts the connection that a dial has become, which has its id, in its place;
  // does nothing where there is no such dial.
  std::shared_ptr<const LiveConnection> Replace(
      std::shared_ptr<AnyConnection> connection);
  // Forgets a connection whose descriptor was closed now, and gives it; null
  // where it was never added, for want of memory.
  std::shared_ptr<const LiveConnection> Remove(int64_t id);

  // Gives null if there is none.
  std::shared_ptr<LiveConnection> Find(int64_t id) const;

  const Entries& entries() const { return entries_; }

 private:
  Entries entries_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_CONNECTION_TABLE_H_
