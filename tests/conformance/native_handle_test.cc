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

template <typename A>
class NativeHandleTest : public ServerTest<A> {
 protected:
  // Runs what is ready, and fails the test where that does not come to an end.
  void SettleSoon() {
    constexpr int kMostHandlers = 1000;
    const int64_t before = Poller::Of(this->loop()).round();
    int count = 0;
    this->loop().restart();
    while (count<kMostHandlers&& this->loop().poll_one()> 0) ++count;
    EXPECT_LT(count, kMostHandlers);
    EXPECT_LT(Poller::Of(this->loop()).round() - before, 100);
  }

  // Both ways, as nothing less is told of where nothing is waited for.
  static void ShutDown(Server<A>& server) {
    EXPECT_EQ(shutdown(server.any_server().native_handle(), SHUT_RDWR), 0);
  }

  // That the server has closed itself, and its creator knows why.
  void ExpectBroken(Server<A>& server) {
    SettleSoon();
    EXPECT_TRUE(server.is_closed());
    EXPECT_EQ(server.any_server().close_cause(), CloseCause::kAcceptFailed);
    const auto errors = this->TakeErrors();
    ASSERT_EQ(errors.size(), 1u);
    EXPECT_NE(errors[0].find("Invalid argument"), std::string::npos)
        << errors[0];
  }
};

TYPED_TEST_SUITE(NativeHandleTest, BothKinds, KindName);

TYPED_TEST(NativeHandleTest, OfAServerThatWaitsForClients) {
  Server<TypeParam>& server = this->Create(this->Steered());
  this->SettleSoon();
  this->ShutDown(server);
  this->ExpectBroken(server);
}

// A unix socket then has no client for accept(2), and is ready for ever.
TYPED_TEST(NativeHandleTest, OfAServerThatIsShutOneWay) {
  Server<TypeParam>& server = this->Create(this->Steered());
  this->SettleSoon();
  EXPECT_EQ(shutdown(server.any_server().native_handle(), SHUT_RD), 0);
  this->ExpectBroken(server);
}

TYPED_TEST(NativeHandleTest, OfAServerAtItsLimit) {
  Server<TypeParam>& server =
      this->Create(this->Echo(), this->WithMaxConnections(1));
  RawClient client = this->ConnectedClient(server);
  this->WaitForCall(0);
  this->SettleSoon();
  this->TakeLog();  // The limit.
  this->ShutDown(server);
  this->ExpectBroken(server);
  // Live connections go on.
  EXPECT_EQ(client.Send("x\n"), "ok");
  EXPECT_EQ(client.Receive(), "x\n");
}

TYPED_TEST(NativeHandleTest, OfAServerThatIsNotToAccept) {
  Server<TypeParam>& server = this->Create(this->Steered());
  server.any_server().SetAccepting(false);
  // What it waited for comes once, and is left alone.
  RawClient client = this->ConnectedClient(server);
  this->SettleSoon();
  this->ShutDown(server);
  this->ExpectBroken(server);
}

TYPED_TEST(NativeHandleTest, OfAConnection) {
  Server<TypeParam>& server = this->Create(this->Echo());
  size_t count = 0;
  for (const int how : {SHUT_RD, SHUT_WR, SHUT_RDWR}) {
    SCOPED_TRACE(how);
    RawClient client = this->ConnectedClient(server);
    const auto& call = this->WaitForCall(count++);
    this->SettleSoon();
    const auto& connections = server.any_server().connections();
    ASSERT_EQ(connections.size(), 1u);
    auto& connection =
        static_cast<StreamConnection&>(*connections.begin()->second);
    EXPECT_EQ(shutdown(connection.socket()->socket().native_handle(), how), 0);
    this->SettleSoon();
    if (how == SHUT_WR) {
      EXPECT_EQ(client.Receive(), "EOF");
      EXPECT_EQ(client.Send("x\n"), "ok");
      this->RunUntil([&] { return connections.empty(); });
    } else {
      // An end of file, as far as the handler can see.
      this->RunUntil([&] { return call.over; });
    }
    client.Close();
    this->RunUntil([&] { return connections.empty(); });
    this->SettleSoon();
    EXPECT_FALSE(server.is_closed());
  }
}

}  // namespace
}  // namespace portreeve::testing
