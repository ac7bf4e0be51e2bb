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

template <typename A>
class ObserverCloseTest : public ServerTest<A> {
 protected:
  // Outlives the servers, which the fixture tears down after the test's body.
  Closer closer_;
};

TYPED_TEST_SUITE(ObserverCloseTest, BothKinds, KindName);

TYPED_TEST(ObserverCloseTest, AtItsLimit) {
  ServerOptions options = this->WithMaxConnections(1);
  options.observer = &this->closer_;
  Server<TypeParam>& server = this->Create(this->Echo(), options);
  this->closer_.on_limit = [&server] { server.Close(); };
  RawClient client = this->ConnectedClient(server);
  this->RunUntil(server.close_finished());
  // It was closed before the handler could begin (b4b).
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_TRUE(this->calls().empty());
}

TYPED_TEST(ObserverCloseTest, WhenItCannotAccept) {
  ServerOptions options;
  options.observer = &this->closer_;
  Server<TypeParam>& server = this->Create(this->Echo(), options);
  this->closer_.on_accept_failed = [&server] { server.Close(); };
  RawClient client = this->ConnectedClient(server);
  {
    const FewDescriptors few(0);
    this->RunUntil(server.close_finished());
  }
  EXPECT_EQ(client.Receive(), "ECONNRESET");
  this->Settle();
  EXPECT_EQ(this->time().earliest(), TimePoint::max());
}

}  // namespace
}  // namespace portreeve::testing
