// The handlers echo and discard.
#include "server/handlers.h"

#include <gtest/gtest.h>

#include "tests/server/handlers_fixture.h"

namespace portreeve::server {
namespace {

using HandlersTest = testing::HandlersFixture;
using testing::RawClient;

ServerOptions AtMost(Duration limit) {
  ServerOptions options;
  options.buffer_age_limit = BufferAgeLimit::AtMost(limit);
  return options;
}

TEST_F(HandlersTest, EchoSendsBackAndAnswersFinWithFin) {
  AnyServer& server = Serve(EchoHandler());
  RawClient client = ClientOf(server);
  client.Send("hello");
  EXPECT_EQ(client.ReceiveExactly(5), "hello");
  client.Send("again");
  client.CloseSending();
  EXPECT_EQ(client.ReceiveExactly(5), "again");
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(ClosedReasons(1).at(0), CloseReason::kPeerClosed);
}

TEST_F(HandlersTest, EchoReadsNoFasterThanItsPeer) {
  AnyServer& server = Serve(EchoHandler());
  RawClient client = ClientOf(server);
  client.ShrinkReceiveBuffer();
  Flood(client);
  const auto& [id, connection] = *server.connections().begin();
  EXPECT_LE(connection->bytes_to_write(), 64u * 1024);
}

TEST_F(HandlersTest, EchoClosesAPeerThatDoesNotReadAndNoListener) {
  AnyServer& server = Serve(EchoHandler(), AtMost(std::chrono::seconds(10)));
  RawClient client = ClientOf(server);
  client.ShrinkReceiveBuffer();
  Flood(client);
  time().Advance(std::chrono::seconds(11));
  EXPECT_EQ(ClosedReasons(1).at(0), CloseReason::kBufferAge);
  Settle();
  EXPECT_FALSE(server.is_closed());
}

TEST_F(HandlersTest, EchoEndsWithAPeerThatResets) {
  AnyServer& server = Serve(EchoHandler());
  RawClient client = ClientOf(server);
  client.Send("hello");
  EXPECT_EQ(client.ReceiveExactly(5), "hello");
  client.Reset();
  EXPECT_EQ(ClosedReasons(1).at(0), CloseReason::kPeerReset);
}

TEST_F(HandlersTest, HandlersEndWhenTheirConnectionIsClosed) {
  for (const auto how :
       {ExistingConnections::kClose, ExistingConnections::kReset}) {
    for (AnyHandler handler : {EchoHandler(), DiscardHandler()}) {
      AnyServer& server = Serve(handler);
      RawClient client = ClientOf(server);
      RunUntil([&] { return server.num_connections() == 1; });
      server.Close(how);
      EXPECT_TRUE(RunUntil(server.close_finished_and_handlers_determined()));
      const bool reset = how == ExistingConnections::kReset;
      EXPECT_EQ(client.Receive(), reset ? "ECONNRESET" : "EOF");
    }
  }
}

TEST_F(HandlersTest, DiscardReadsAllAndSaysNothing) {
  AnyServer& server = Serve(DiscardHandler());
  RawClient client = ClientOf(server);
  client.Send("hello");
  RunUntil([&] { return server.bytes_received_total() == 5; });
  EXPECT_EQ(client.Peek(), "nothing");
  client.CloseSending();
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(ClosedReasons(1).at(0), CloseReason::kPeerClosed);
  EXPECT_EQ(server.bytes_sent_total(), 0);
}

}  // namespace
}  // namespace portreeve::server
