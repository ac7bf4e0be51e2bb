// A reset is noticed by everybody who waits for it, though the kernel tells it
// once.
#include "lib/net/peer_reset.h"

#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <string_view>

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

// Another thread, whose system call has it.
TEST_F(PeerResetTest, IsToldThoughAnotherThreadHasTakenIt) {
  Pair pair = ConnectPair();
  SocketCore& socket = *pair.connection->socket.core();
  const std::shared_ptr<SharedDescriptor> shared = socket.Share();
  const auto waiter = Waiter(socket);
  pair.peer.Reset();
  const std::string_view byte = "x";
  while (shared->Send({&byte, 1}) >= 0) {
  }
  EXPECT_TRUE(RunToEnd(waiter));
  EXPECT_EQ(socket.reason(), CloseReason::kPeerReset);
}

TEST_F(PeerResetTest, IsToldThoughAPeekHasTakenIt) {
  Pair pair = ConnectPair();
  SocketCore& socket = *pair.connection->socket.core();
  const auto waiter = Waiter(socket);
  pair.peer.Reset();
  EXPECT_FALSE(socket.HasPeerEnded());
  EXPECT_TRUE(RunToEnd(waiter));
  EXPECT_FALSE(socket.HasPeerEnded());
  char space;
  EXPECT_EQ(socket.Receive(&space, 1), -1);
}

// Which wakes who waits for errors, too.
TEST_F(PeerResetTest, IsToldAfterUrgentData) {
  Pair pair = ConnectPair();
  SocketCore& socket = *pair.connection->socket.core();
  const auto waiter = Waiter(socket);
  const int peer = pair.peer.socket().native_handle();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(pair.peer.Send("in"), "ok");
    ASSERT_EQ(send(peer, "!", 1, MSG_OOB), 1);
    EXPECT_EQ(pair.peer.Send("band\n"), "ok");
    Settle();  // It does not spin.
    EXPECT_FALSE(waiter->ended);
    EXPECT_EQ(Run(pair.reader().ReadLine()), "inband");
  }
  pair.peer.Reset();
  EXPECT_TRUE(RunToEnd(waiter));
  EXPECT_EQ(socket.reason(), CloseReason::kPeerReset);
}

// Where both have ended, there is nothing left to be reset.
TEST_F(PeerResetTest, NobodyIsToldOfAnEnd) {
  Pair pair = ConnectPair();
  SocketCore& socket = *pair.connection->socket.core();
  const auto waiter = Waiter(socket);
  pair.peer.CloseSending();
  socket.ShutdownSend();
  Settle();
  EXPECT_EQ(pair.peer.Receive(), "EOF");
  Settle();
  EXPECT_FALSE(waiter->ended);
  EXPECT_FALSE(socket.HasFailed());
  tasks().Cancel();
  EXPECT_TRUE(RunToEnd(waiter));
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
