// A connection that an observer closes when it is told of it, before its
// handler begins.
#include <string>

#include "tests/server/handlers_fixture.h"

namespace portreeve::testing {
namespace {

class ClosedWhenAcceptedTest : public HandlersFixture {
 protected:
  // Serves two clients at a time, so that one is carried by another loop where
  // there are some.
  void ExpectClosed(AnyServer& server) {
    server_ = &server;
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
  void OnAccepted(const AnyConnection& connection) override {
    server_->connections()
        .at(connection.id())
        ->Close(how_, CloseReason::kHandlerDone);
  }

  AnyServer* server_ = nullptr;
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

}  // namespace
}  // namespace portreeve::testing
