// What an observer throws goes to the creator's monitor; server, poller and all
// other connections go on as if it had returned.
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "lib/base/status.h"
#include "tests/conformance/both_kinds.h"
#include "tests/testing/descriptors.h"

namespace portreeve::testing {
namespace {

// Throws in each of its methods, and notes which.
class Thrower : public ServerObserver {
 public:
  std::vector<std::string> calls;

 private:
  void Throw(const std::string& method) {
    calls.push_back(method);
    throw std::runtime_error(method);
  }
  void OnAccepted(const std::shared_ptr<AnyConnection>&) override {
    Throw("accepted");
  }
  void OnDropped(const AnyConnection&) override { Throw("dropped"); }
  void OnClosed(const std::shared_ptr<AnyConnection>&) override {
    Throw("closed");
  }
  void OnHandlerError(const StreamConnection&, std::exception_ptr,
                      HandlerErrorOutcome) override {
    Throw("handler error");
  }
  void OnLimitReached(const AnyAddress&, int) override { Throw("limit"); }
  void OnAcceptFailed(const AnyAddress&, int, int64_t) override {
    Throw("accept failed");
  }
  void OnCloseStarted(CloseCause) override { Throw("close started"); }
  void OnCloseFinished() override { Throw("close finished"); }
  void OnHandlersDetermined() override { Throw("determined"); }
};

class ObserverErrorTest : public ServerTest {
 protected:
  ServerOptions Options() {
    ServerOptions options;
    options.observer = &thrower_;
    return options;
  }

  // That the monitor was told what the observer has thrown, in this order.
  void ExpectTold(const std::vector<std::string>& methods) {
    RunUntil([&] { return thrower_.calls.size() >= methods.size(); });
    Settle();
    EXPECT_EQ(thrower_.calls, methods);
    EXPECT_EQ(TakeErrors(), methods);
    thrower_.calls.clear();
  }

  // Outlives the servers, which the fixture tears down after the test's body.
  Thrower thrower_;
};

TEST_F(ObserverErrorTest, OfAConnectionFromItsAcceptToTheServersEnd) {
  Server<Kind>& server = Create(Echo(), Options());
  RawClient one = ConnectedClient(server);
  RawClient other = ConnectedClient(server);
  WaitForCall(1);
  ExpectTold({"accepted", "accepted"});
  EXPECT_EQ(one.Send("x\n"), "ok");
  EXPECT_EQ(one.Receive(), "x\n");
  one.Close();
  ExpectTold({"closed"});
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_EQ(other.Send("y\n"), "ok");
  EXPECT_EQ(other.Receive(), "y\n");
  const Deferred<> closed = server.Close(ExistingConnections::kClose);
  RunUntil(server.close_finished_and_handlers_determined());
  EXPECT_TRUE(closed.determined());
  ExpectTold({"close started", "closed", "close finished", "determined"});
  EXPECT_EQ(other.Receive(), "EOF");
}

TEST_F(ObserverErrorTest, OfADroppedClient) {
  ServerOptions options = Options();
  options.drop_incoming_connections = true;
  Server<Kind>& server = Create(Echo(), options);
  RawClient client = ConnectedClient(server);
  EXPECT_EQ(client.Receive(), "EOF");
  ExpectTold({"dropped"});
  server.SetDropIncomingConnections(false);
  RawClient next = ConnectedClient(server);
  WaitForCall(0);
  ExpectTold({"accepted"});
  TearDownServers();
  ExpectTold({"close started", "closed", "close finished", "determined"});
}

TEST_F(ObserverErrorTest, OfAHandlersError) {
  Server<Kind>& server = Create(Steered(), Options(), IgnoreHandlerError());
  RawClient client = ConnectedClient(server);
  WaitForCall(0).end.Fill("failed");
  EXPECT_EQ(client.Receive(), "EOF");
  ExpectTold({"accepted", "closed", "handler error"});
  EXPECT_EQ(server.num_connections(), 0);
  EXPECT_FALSE(server.is_closed());
  TearDownServers();
  ExpectTold({"close started", "close finished", "determined"});
}

TEST_F(ObserverErrorTest, OfTheLimit) {
  ServerOptions options = Options();
  options.max_connections = 1;
  Server<Kind>& server = Create(Echo(), options);
  RawClient one = ConnectedClient(server);
  RawClient other = ConnectedClient(server);
  WaitForCall(0);
  ExpectTold({"limit", "accepted"});
  one.Close();
  WaitForCall(1);  // The other one's turn.
  ExpectTold({"closed", "accepted"});
  TearDownServers();
  ExpectTold({"close started", "closed", "close finished", "determined"});
}

TEST_F(ObserverErrorTest, OfAnAcceptThatFails) {
  Server<Kind>& server = Create(Echo(), Options());
  RawClient client = ConnectedClient(server);
  {
    const FewDescriptors few(0);
    ExpectTold({"accept failed"});
  }
  time().Advance(std::chrono::seconds(1));
  WaitForCall(0);
  ExpectTold({"accepted"});
  TearDownServers();
  ExpectTold({"close started", "closed", "close finished", "determined"});
}

}  // namespace
}  // namespace portreeve::testing
