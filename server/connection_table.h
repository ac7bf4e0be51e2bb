// ConnectionTable: the live connections of the daemon.
#ifndef PORTREEVE_SERVER_CONNECTION_TABLE_H_
#define PORTREEVE_SERVER_CONNECTION_TABLE_H_

#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "lib/address.h"
#include "lib/any_connection.h"
#include "portreeve/v1/connection.pb.h"
#include "server/claim.h"

namespace portreeve::server {

// What the daemon knows of a connection beside what the library does.
struct ConnectionFacts {
  std::string listener;  // The name of the listener that accepted it, or "".
  v1::Direction direction = v1::DIRECTION_INBOUND;
  google::protobuf::Timestamp create_time;
  std::optional<AnyAddress> upstream;  // Once a forward handler reached it.
  std::shared_ptr<Claim> claim;        // Of a remote listener's.
  bool close_called = false;           // It is to be closed.
  std::optional<google::protobuf::Timestamp> close_time;
};

struct LiveConnection {
  std::shared_ptr<AnyConnection> connection;
  ConnectionFacts facts;
};

v1::Connection Describe(const AnyConnection& connection,
                        const ConnectionFacts& facts);
inline v1::Connection Describe(const LiveConnection& live) {
  return Describe(*live.connection, live.facts);
}

// Threads: loop thread only.  Lifetime: outlives the servers whose connections
// it has.
class ConnectionTable {
 public:
  // In the order of their ids, which is that of their names.
  using Entries = std::map<int64_t, std::shared_ptr<LiveConnection>>;

  // Adds an open connection, accepted or connected now.
  std::shared_ptr<const LiveConnection> Add(
      std::shared_ptr<AnyConnection> connection, ConnectionFacts facts);
  // Forgets a connection whose descriptor was closed now, and gives it.
  std::shared_ptr<const LiveConnection> Remove(int64_t id);

  // Null if there is none.
  std::shared_ptr<LiveConnection> Find(int64_t id) const;

  const Entries& entries() const { return entries_; }

 private:
  Entries entries_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONNECTION_TABLE_H_
