#include "lib/peer_reset.h"

#include <sys/socket.h>

#include "lib/deferred.h"

namespace portreeve {
namespace {

// Waits for nothing: for coroutines that are to be cancelled.
Task<> Forever() {
  const Executor executor = co_await asio::this_coro::executor;
  const Ivar<> never(executor);
  co_await never.deferred().Wait();
}

// Whether the peer of `socket` has reset it.  Clears the socket's error.
bool TakeReset(SocketCore& socket) {
  if (socket.reason() == CloseReason::kPeerReset) return true;
  if (!socket.is_open()) return false;
  int error = 0;
  socklen_t size = sizeof error;
  const int fd = socket.socket().native_handle();
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0;
}

}  // namespace

Task<> PeerReset(SocketCore& socket) {
  if (socket.is_open()) {
    const auto [error] =
        co_await socket.socket().async_wait(StreamSocket::wait_error, kTuple);
    // A hangup, both ways or by ourselves, wakes it, too.
    if (!error && TakeReset(socket)) {
      // The error was taken from the socket: the next read sees an end only.
      socket.NoteReason(CloseReason::kPeerReset);
      co_return;
    }
  }
  co_await Forever();
}

}  // namespace portreeve
