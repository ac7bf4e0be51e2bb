// A connection whose handler does not even begin: an observer closes it when it
// is told of it, or the handler cannot be made.
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/server/handlers_fixture.h"

namespace portreeve::testing {
namespace {

class ClosedWhenAcceptedTest : public HandlersFixture {
 protected:
  // Serves two clients at a time, so that one is carried by another loop where
  // there are some.
  void ExpectClosed(AnyServer& server) {
    for (const auto how :
         {ExistingConnections::kClose, ExistingConnections::kReset}) {
      how_ = how;
      RawClient one = ClientOf(server);
      RawClient other = ClientOf(server);
      num_closed_ += 2;
      for (RawClient* client : {&one, &other}) {
        EXPECT_EQ(client->Receive(),
                  how == ExistingConnections::kClose ? "EOF" : "ECONNRESET");
      }
      one.Close();
      other.Close();
      EXPECT_EQ(ClosedReasons(num_closed_).back(), CloseReason::kHandlerDone);
      RunUntil([&] { return server.num_connections() == 0; });
    }
  }

 private:
  void OnAccepted(const std::shared_ptr<AnyConnection>& connection) override {
    connection->Close(how_, CloseReason::kHandlerDone);
  }

  ExistingConnections how_ = ExistingConnections::kClose;
  size_t num_closed_ = 0;
};

TEST_F(ClosedWhenAcceptedTest, ByEcho) {
  ExpectClosed(Serve(server::EchoHandler()));
}

TEST_F(ClosedWhenAcceptedTest, ByDiscard) {
  ExpectClosed(Serve(server::DiscardHandler()));
}

TEST_F(ClosedWhenAcceptedTest, ByForward) {
  server::ForwardOptions options;
  // Nobody is connected to.
  options.upstream = WhereToConnect<Inet>::OfHostAndPort("127.0.0.1", 1);
  ExpectClosed(Serve(server::ForwardHandler(options)));
}

using ThrowingHandlerTest = HandlersFixture;

TEST_F(ThrowingHandlerTest, ItsClientIsDroppedAndTheNextIsServed) {
  DirectHandler handler = std::get<DirectHandler>(server::EchoHandler());
  int count = 0;
  handler.make = [&count,
                  make = handler.make](DirectConnection::Accepted accepted) {
    if (++count == 1) throw std::runtime_error("thrown");
    return make(std::move(accepted));
  };
  AnyServer& server = Serve(std::move(handler));
  RawClient dropped = ClientOf(server);
  EXPECT_EQ(dropped.Receive(), "EOF");
  EXPECT_EQ(TakeErrors(), std::vector<std::string>{"thrown"});
  EXPECT_EQ(server.dropped_total(), 1);
  EXPECT_EQ(server.num_connections(), 0);
  RawClient served = ClientOf(server);
  EXPECT_EQ(served.Send("x"), "ok");
  EXPECT_EQ(served.Receive(), "x");
}

}  // namespace
}  // namespace portreeve::testing
