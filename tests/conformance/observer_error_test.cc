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

template <typename A>
class ObserverErrorTest : public ServerTest<A> {
 protected:
  ServerOptions Options() {
    ServerOptions options;
    options.observer = &thrower_;
    return options;
  }

  // That the monitor was told what the observer has thrown, in this order.
  void ExpectTold(const std::vector<std::string>& methods) {
    this->RunUntil([&] { return thrower_.calls.size() >= methods.size(); });
    this->Settle();
    EXPECT_EQ(thrower_.calls, methods);
    EXPECT_EQ(this->TakeErrors(), methods);
    thrower_.calls.clear();
  }

  // Outlives the servers, which the fixture tears down after the test's body.
  Thrower thrower_;
};

TYPED_TEST_SUITE(ObserverErrorTest, BothKinds, KindName);

TYPED_TEST(ObserverErrorTest, OfAConnectionFromItsAcceptToTheServersEnd) {
  Server<TypeParam>& server = this->Create(this->Echo(), this->Options());
  RawClient one = this->ConnectedClient(server);
  RawClient other = this->ConnectedClient(server);
  this->WaitForCall(1);
  this->ExpectTold({"accepted", "accepted"});
  EXPECT_EQ(one.Send("x\n"), "ok");
  EXPECT_EQ(one.Receive(), "x\n");
  one.Close();
  this->ExpectTold({"closed"});
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_EQ(other.Send("y\n"), "ok");
  EXPECT_EQ(other.Receive(), "y\n");
  const Deferred<> closed = server.Close(ExistingConnections::kClose);
  this->RunUntil(server.close_finished_and_handlers_determined());
  EXPECT_TRUE(closed.determined());
  this->ExpectTold({"close started", "closed", "close finished", "determined"});
  EXPECT_EQ(other.Receive(), "EOF");
}

TYPED_TEST(ObserverErrorTest, OfADroppedClient) {
  ServerOptions options = this->Options();
  options.drop_incoming_connections = true;
  Server<TypeParam>& server = this->Create(this->Echo(), options);
  RawClient client = this->ConnectedClient(server);
  EXPECT_EQ(client.Receive(), "EOF");
  this->ExpectTold({"dropped"});
  server.SetDropIncomingConnections(false);
  RawClient next = this->ConnectedClient(server);
  this->WaitForCall(0);
  this->ExpectTold({"accepted"});
  this->TearDownServers();
  this->ExpectTold({"close started", "closed", "close finished", "determined"});
}

TYPED_TEST(ObserverErrorTest, OfAHandlersError) {
  Server<TypeParam>& server =
      this->Create(this->Steered(), this->Options(), IgnoreHandlerError());
  RawClient client = this->ConnectedClient(server);
  this->WaitForCall(0).end.Fill("failed");
  EXPECT_EQ(client.Receive(), "EOF");
  this->ExpectTold({"accepted", "closed", "handler error"});
  EXPECT_EQ(server.num_connections(), 0);
  EXPECT_FALSE(server.is_closed());
  this->TearDownServers();
  this->ExpectTold({"close started", "close finished", "determined"});
}

TYPED_TEST(ObserverErrorTest, OfTheLimit) {
  ServerOptions options = this->Options();
  options.max_connections = 1;
  Server<TypeParam>& server = this->Create(this->Echo(), options);
  RawClient one = this->ConnectedClient(server);
  RawClient other = this->ConnectedClient(server);
  this->WaitForCall(0);
  this->ExpectTold({"limit", "accepted"});
  one.Close();
  this->WaitForCall(1);  // The other one's turn.
  this->ExpectTold({"closed", "accepted"});
  this->TearDownServers();
  this->ExpectTold({"close started", "closed", "close finished", "determined"});
}

TYPED_TEST(ObserverErrorTest, OfAnAcceptThatFails) {
  Server<TypeParam>& server = this->Create(this->Echo(), this->Options());
  RawClient client = this->ConnectedClient(server);
  {
    const FewDescriptors few(0);
    this->ExpectTold({"accept failed"});
  }
  this->time().Advance(std::chrono::seconds(1));
  this->WaitForCall(0);
  this->ExpectTold({"accepted"});
  this->TearDownServers();
  this->ExpectTold({"close started", "closed", "close finished", "determined"});
}

}  // namespace
}  // namespace portreeve::testing
