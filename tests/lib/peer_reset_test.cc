// A reset is noticed by everybody who waits for it, though the kernel tells it
// once.
#include "lib/peer_reset.h"

#include <cerrno>
#include <memory>

#include "tests/testing/connect_fixture.h"

namespace portreeve::testing {
namespace {

class PeerResetTest : public ConnectFixture {
 protected:
  // One more that waits, under way.
  std::shared_ptr<Outcome<bool>> Waiter(SocketCore& socket) {
    auto outcome = StartWatched(PeerReset(socket));
    Settle();
    EXPECT_FALSE(outcome->ended);
    return outcome;
  }
};

TEST_F(PeerResetTest, EveryWaiterIsTold) {
  Pair pair = ConnectPair();
  SocketCore& socket = *pair.connection->socket.core();
  const auto first = Waiter(socket);
  const auto second = Waiter(socket);
  pair.peer.Reset();
  EXPECT_TRUE(RunToEnd(first));
  EXPECT_TRUE(RunToEnd(second));
  EXPECT_EQ(socket.reason(), CloseReason::kPeerReset);
}

// The reason is the first one by then, and tells nobody.
TEST_F(PeerResetTest, EveryWaiterIsToldAfterThePeersEnd) {
  Pair pair = ConnectPair();
  SocketCore& socket = *pair.connection->socket.core();
  const auto first = Waiter(socket);
  const auto second = Waiter(socket);
  pair.peer.CloseSending();
  char space;
  EXPECT_EQ(Run(pair.reader().Read({&space, 1})), 0u);
  EXPECT_FALSE(first->ended);
  pair.peer.Reset();
  EXPECT_TRUE(RunToEnd(first));
  EXPECT_TRUE(RunToEnd(second));
  EXPECT_EQ(socket.reason(), CloseReason::kPeerClosed);
}

TEST_F(PeerResetTest, IsToldThoughARecvHasTakenIt) {
  Pair pair = ConnectPair();
  SocketCore& socket = *pair.connection->socket.core();
  const auto waiter = Waiter(socket);
  pair.peer.Reset();
  char space;
  while (socket.Receive(&space, 1) >= 0 || errno == EAGAIN) {
  }
  EXPECT_TRUE(RunToEnd(waiter));
}

}  // namespace
}  // namespace portreeve::testing
