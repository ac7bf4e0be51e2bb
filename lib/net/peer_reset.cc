#include "lib/net/peer_reset.h"

#include <poll.h>
#include <sys/socket.h>

#include "lib/base/deferred.h"

namespace portreeve {
namespace {

// Waits without an end, for coroutines that are cancelled in the end.
Task<> Forever() {
  const Executor executor = co_await asio::this_coro::executor;
  const Ivar<> never(executor);
  co_await never.deferred().Wait();
}

// Whether both directions have ended, or this side has closed them, so that no
// reset can come.
bool HasHungUp(SocketCore& socket) {
  pollfd now{socket.socket().native_handle(), 0, 0};
  return poll(&now, 1, 0) > 0 && (now.revents & POLLHUP) != 0;
}

// Takes urgent data away, which wakes whoever waits for errors for as long as
// it is there.  The bytes in band are not touched, and a reader misses none.
void DiscardUrgentByte(SocketCore& socket) {
  char byte;
  (void)recv(socket.socket().native_handle(), &byte, 1, MSG_OOB | MSG_DONTWAIT);
}

}  // namespace

Task<> PeerReset(SocketCore& socket) {
  while (socket.is_open()) {
    const auto [error] =
        co_await socket.socket().async_wait(StreamSocket::wait_error, kTuple);
    if (error) break;
    if (socket.HasFailed()) {
      // The next read sees only an end.
      socket.NoteReason(CloseReason::kPeerReset);
      co_return;
    }
    if (HasHungUp(socket)) break;
    DiscardUrgentByte(socket);
  }
  co_await Forever();
}

}  // namespace portreeve
