// shutdown(2) of what the library waits for, by somebody else who has the
// descriptor: it is told, and no busy loop.
#include <sys/socket.h>

#include <string>
#include <vector>

#include "lib/base/poller.h"
#include "lib/base/status.h"
#include "tests/conformance/both_kinds.h"

namespace portreeve::testing {
namespace {

class NativeHandleTest : public ServerTest {
 protected:
  // Runs what is ready, and fails the test where that does not come to an end.
  void SettleSoon() {
    constexpr int kMostHandlers = 1000;
    const int64_t before = Poller::Of(loop()).round();
    int count = 0;
    loop().restart();
    while (count < kMostHandlers && loop().poll_one() > 0) ++count;
    EXPECT_LT(count, kMostHandlers);
    EXPECT_LT(Poller::Of(loop()).round() - before, 100);
  }

  // Both ways, as nothing less is told of where nothing is waited for.
  static void ShutDown(Server<Kind>& server) {
    EXPECT_EQ(shutdown(server.any_server().native_handle(), SHUT_RDWR), 0);
  }

  // That the server has closed itself, and its creator knows why.
  void ExpectBroken(Server<Kind>& server) {
    SettleSoon();
    EXPECT_TRUE(server.is_closed());
    EXPECT_EQ(server.any_server().close_cause(), CloseCause::kAcceptFailed);
    const auto errors = TakeErrors();
    ASSERT_EQ(errors.size(), 1u);
    EXPECT_NE(errors[0].find("Invalid argument"), std::string::npos)
        << errors[0];
  }
};

TEST_F(NativeHandleTest, OfAServerThatWaitsForClients) {
  Server<Kind>& server = Create(Steered());
  SettleSoon();
  ShutDown(server);
  ExpectBroken(server);
}

// A unix socket then has no client for accept(2), and is ready for ever.
TEST_F(NativeHandleTest, OfAServerThatIsShutOneWay) {
  Server<Kind>& server = Create(Steered());
  SettleSoon();
  EXPECT_EQ(shutdown(server.any_server().native_handle(), SHUT_RD), 0);
  ExpectBroken(server);
}

TEST_F(NativeHandleTest, OfAServerAtItsLimit) {
  Server<Kind>& server = Create(Echo(), WithMaxConnections(1));
  RawClient client = ConnectedClient(server);
  WaitForCall(0);
  SettleSoon();
  TakeLog();  // The limit.
  ShutDown(server);
  ExpectBroken(server);
  // Live connections go on.
  EXPECT_EQ(client.Send("x\n"), "ok");
  EXPECT_EQ(client.Receive(), "x\n");
}

TEST_F(NativeHandleTest, OfAServerThatIsNotToAccept) {
  Server<Kind>& server = Create(Steered());
  server.any_server().SetAccepting(false);
  // What it waited for comes once, and is left alone.
  RawClient client = ConnectedClient(server);
  SettleSoon();
  ShutDown(server);
  ExpectBroken(server);
}

TEST_F(NativeHandleTest, OfAConnection) {
  Server<Kind>& server = Create(Echo());
  size_t count = 0;
  for (const int how : {SHUT_RD, SHUT_WR, SHUT_RDWR}) {
    SCOPED_TRACE(how);
    RawClient client = ConnectedClient(server);
    const auto& call = WaitForCall(count++);
    SettleSoon();
    const auto& connections = server.any_server().connections();
    ASSERT_EQ(connections.size(), 1u);
    auto& connection =
        static_cast<StreamConnection&>(*connections.begin()->second);
    EXPECT_EQ(shutdown(connection.socket()->socket().native_handle(), how), 0);
    SettleSoon();
    if (how == SHUT_WR) {
      EXPECT_EQ(client.Receive(), "EOF");
      EXPECT_EQ(client.Send("x\n"), "ok");
      RunUntil([&] { return connections.empty(); });
    } else {
      // An end of file, as far as the handler can see.
      RunUntil([&] { return call.over; });
    }
    client.Close();
    RunUntil([&] { return connections.empty(); });
    SettleSoon();
    EXPECT_FALSE(server.is_closed());
  }
}

}  // namespace
}  // namespace portreeve::testing
