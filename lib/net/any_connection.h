// AnyConnection: one connection of a server, or one that was dialled, whatever
// serves it.
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_NET_ANY_CONNECTION_H_
#define PORTREEVE_LIB_NET_ANY_CONNECTION_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "lib/base/deferred.h"
#include "lib/net/address.h"
#include "lib/net/close_reason.h"
#include "lib/net/tcp_info.h"

namespace portreeve {

// What becomes of live connections when something above them is closed.
enum class ExistingConnections {
  kLeave,  // They go on.
  // What was written is flushed, then FIN is sent.  Where bytes could be lost
  // otherwise, the close waits until the peer has acknowledged all of them.
  // All this takes kForceCloseAfter at most.
  kClose,
  kReset,  // RST is sent at once.
};

// How long kClose, the end of a handler, and that of with_connection wait for
// the peer to take what was written (CONFORMANCE e3b).
inline constexpr std::chrono::seconds kForceCloseAfter{30};

// Threads: the loop thread of its server, or of whoever dialled it, also where
// another loop carries its bytes (DirectConnection).
class AnyConnection {
 public:
  AnyConnection();
  // Takes over the id of one that it replaces.
  explicit AnyConnection(int64_t id) : id_(id) {}
  AnyConnection(const AnyConnection&) = delete;
  AnyConnection& operator=(const AnyConnection&) = delete;
  virtual ~AnyConnection() = default;

  // The id counts from 1, or from what SetNextId() says, and is never used
  // twice in the life of the process.
  int64_t id() const { return id_; }

  // Gives the id of the next connection.
  // Threads: any.
  static int64_t NextId();
  // Has ids count from `id` >= 1 on, so that they continue those of another
  // process.  It must be called before any connection has got its id so.
  // Threads: any.
  static void SetNextId(int64_t id);

  // Both can be called after the close, too.
  virtual const AnyAddress& peer() const = 0;
  virtual const AnyAddress& local() const = 0;

  // The counts are of payload bytes: read from the kernel, given to it, and
  // waiting to be given to it.  All four can be called after the close, too.
  virtual int64_t bytes_received() const = 0;
  virtual int64_t bytes_sent() const = 0;
  virtual size_t bytes_to_write() const = 0;
  virtual CloseReason reason() const = 0;

  // Whether the handler has dealt with all that came, and does nothing until
  // the peer sends more: a close in order now loses nothing and interrupts
  // nobody.  False where only the handler can know, as with a coroutine.
  virtual bool is_at_rest() const { return false; }

  // False once the descriptor is closed.
  virtual bool is_open() const = 0;
  // Determined when the descriptor is closed.
  virtual Deferred<> closed() const = 0;

  // Closes the connection under its handler, which then reads end of file and
  // cannot write any more; the handler is not stopped.  kLeave does nothing.
  // `reason` is kept unless there is one already.  Gives closed().
  virtual Deferred<> Close(ExistingConnections how, CloseReason reason) = 0;

  using TakeTcpInfo = std::function<void(const std::optional<TcpInfo>&)>;
  // Asks the kernel what it knows of the socket, on the loop that has the
  // descriptor, and calls `take`: in this call or in a later step, with nullopt
  // where the socket is not TCP, or was closed by then.  Throws std::bad_alloc,
  // and calls nobody, where there is no memory.
  virtual void AskTcpInfo(const TakeTcpInfo& take) { take(std::nullopt); }

 private:
  const int64_t id_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_ANY_CONNECTION_H_
