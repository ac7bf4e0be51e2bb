// SocketKeeper: somebody who keeps the sockets of listeners beyond the end of
// the process, and hands them to the next one.
#ifndef PORTREEVE_SERVER_REGISTRY_SOCKET_KEEPER_H_
#define PORTREEVE_SERVER_REGISTRY_SOCKET_KEEPER_H_

#include <functional>
#include <string>

namespace portreeve::server {

// Threads: loop thread only.
class SocketKeeper {
 public:
  SocketKeeper() = default;
  SocketKeeper(const SocketKeeper&) = delete;
  SocketKeeper& operator=(const SocketKeeper&) = delete;
  virtual ~SocketKeeper() = default;

  // Has `socket`, at which the listener `id` listens, kept.  It never throws.
  virtual void Keep(const std::string& id, int socket) = 0;

  // Ends that, and calls `done` in a later step, once the keeper has no copy
  // any more: then whoever still waits in the backlog is reset.  A keeper that
  // does not answer is not waited for for ever.  It never throws; `done` must
  // not throw.
  virtual void Release(const std::string& id, std::function<void()> done) = 0;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_SOCKET_KEEPER_H_
