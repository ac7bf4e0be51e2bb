#include "lib/peer_reset.h"

#include "lib/deferred.h"

namespace portreeve {
namespace {

// Waits for nothing: for coroutines that are to be cancelled.
Task<> Forever() {
  const Executor executor = co_await asio::this_coro::executor;
  const Ivar<> never(executor);
  co_await never.deferred().Wait();
}

}  // namespace

Task<> PeerReset(SocketCore& socket) {
  if (socket.is_open()) {
    const auto [error] =
        co_await socket.socket().async_wait(StreamSocket::wait_error, kTuple);
    // A hangup, both ways or by ourselves, wakes it, too.
    if (!error && socket.HasFailed()) {
      // The next read sees an end only.
      socket.NoteReason(CloseReason::kPeerReset);
      co_return;
    }
  }
  co_await Forever();
}

}  // namespace portreeve
