// An observer that closes the server, or the connection, of which it is told.
#include <functional>
#include <string>
#include <vector>

#include "tests/conformance/both_kinds.h"
#include "tests/testing/descriptors.h"

namespace portreeve::testing {
namespace {

class Closer : public ServerObserver {
 public:
  std::function<void()> on_limit = [] {};
  std::function<void()> on_accept_failed = [] {};

 private:
  void OnLimitReached(const AnyAddress&, int) override { on_limit(); }
  void OnAcceptFailed(const AnyAddress&, int, int64_t) override {
    on_accept_failed();
  }
};

class ObserverCloseTest : public ServerTest {
 protected:
  // Outlives the servers, which the fixture tears down after the test's body.
  Closer closer_;
};

TEST_F(ObserverCloseTest, AtItsLimit) {
  ServerOptions options = WithMaxConnections(1);
  options.observer = &closer_;
  Server<Kind>& server = Create(Echo(), options);
  closer_.on_limit = [&server] { server.Close(); };
  RawClient client = ConnectedClient(server);
  RunUntil(server.close_finished());
  // It was closed before the handler could begin (b4b).
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_TRUE(calls().empty());
}

TEST_F(ObserverCloseTest, WhenItCannotAccept) {
  ServerOptions options;
  options.observer = &closer_;
  Server<Kind>& server = Create(Echo(), options);
  closer_.on_accept_failed = [&server] { server.Close(); };
  RawClient client = ConnectedClient(server);
  {
    const FewDescriptors few(0);
    RunUntil(server.close_finished());
  }
  EXPECT_EQ(client.Receive(), "ECONNRESET");
  Settle();
  EXPECT_EQ(time().earliest(), TimePoint::max());
}

}  // namespace
}  // namespace portreeve::testing
