// MovingConnection: a connection that another process of the daemon can go on
// with.
#ifndef PORTREEVE_SERVER_HANDLERS_MOVING_CONNECTION_H_
#define PORTREEVE_SERVER_HANDLERS_MOVING_CONNECTION_H_

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "lib/lane/direct_connection.h"
#include "lib/serve/any_server.h"
#include "server/handlers/frozen_connection.h"
#include "server/handlers/handlers.h"

namespace portreeve::server {

// What there is to move of a connection.  The descriptors, in the order of
// NumDescriptors(), are not owned: they are the connection's, and stay open
// until it runs again or is let go of.
struct Moving {
  FrozenConnection frozen;
  std::vector<int> descriptors;
};

// The base class of all connections of the handlers that can be moved.
class MovingConnection : public DirectConnection {
 public:
  // Gives nothing where it has to stay.  It is called while the loops stand
  // still (LoopGroup::Freeze()), and changes nothing: to go on, nothing has to
  // be done.
  virtual std::optional<Moving> Freeze() const = 0;

 protected:
  using DirectConnection::DirectConnection;
};

// The same for any connection: those of other classes stay.
std::optional<Moving> FreezeConnection(const AnyConnection& connection);

// Makes one of a forward handler, as the functions below do.
using RestoreForward = std::function<std::shared_ptr<DirectConnection>(
    DirectConnection::Accepted accepted, const FrozenDirect& direct,
    const FrozenForward& frozen, std::vector<Descriptor> others)>;

// Makes connections that another process has frozen, and has servers go on with
// them.
// Threads: those of AnyServer::AddMoved().
class ConnectionMover {
 public:
  ConnectionMover();
  ~ConnectionMover();

  // Calls AddMoved() of `server`; `descriptors` are copies of those of Moving.
  // `own` makes those of a forward handler that are not connected yet; it may
  // be null where there are none.
  // Errors: those of AddMoved(); INVALID_FIELD where the descriptors are not
  // what they have to be.  Then they are closed, and nothing else has happened.
  absl::StatusOr<std::shared_ptr<DirectConnection>> Add(
      AnyServer& server, const FrozenConnection& frozen,
      std::vector<Descriptor> descriptors, const RestoreForward& own);

 private:
  struct Routes;
  const std::unique_ptr<Routes> routes_;
};

// What the handlers have for a ConnectionMover: each makes one that is not
// resumed.  `others` are the descriptors but for the client's.  They throw
// std::bad_alloc.
std::shared_ptr<DirectConnection> RestoreEcho(
    DirectConnection::Accepted accepted, const FrozenDirect& direct,
    const FrozenEcho& frozen, std::vector<Descriptor> others);
std::shared_ptr<DirectConnection> RestoreDiscard(
    DirectConnection::Accepted accepted, const FrozenDirect& direct,
    const FrozenDiscard& frozen);
// Makes those whose upstream is of the kind of `options`, and has their age
// limit; nothing else of `options` counts for one that is connected.
RestoreForward ForwardRestorer(ForwardOptions options);

// Makes something of what was made only in part: lets go of `connection` where
// `restore` throws.
template <typename Connection, typename Restore>
std::shared_ptr<DirectConnection> Restored(
    std::shared_ptr<Connection> connection, Restore restore) {
  try {
    restore(*connection);
  } catch (...) {
    connection->LetGo();
    throw;
  }
  return connection;
}

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDLERS_MOVING_CONNECTION_H_
