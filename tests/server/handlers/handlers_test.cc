// The handlers echo and discard.
#include "server/handlers/handlers.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "lib/net/descriptor_budget.h"
#include "server/handlers/pump.h"
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
  Flood(client);
  const auto& [id, connection] = *server.connections().begin();
  EXPECT_LE(connection->bytes_to_write(), 64u * 1024);
}

TEST_F(HandlersTest, EchoIsAtRestWhenAllHasGoneBack) {
  AnyServer& server = Serve(EchoHandler());
  RawClient client = ClientOf(server);
  client.Send("hello");
  EXPECT_EQ(client.ReceiveExactly(5), "hello");
  const AnyConnection& connection = *server.connections().begin()->second;
  // Another loop may carry its bytes, and say so a little later.
  while (!connection.is_at_rest()) Settle();
  const std::string block(64 * 1024, 'x');
  while (connection.is_at_rest()) {
    SendNow(client, block);
    Settle();
  }
}

TEST_F(HandlersTest, WhatIsHeldInMemoryIsCounted) {
  EXPECT_EQ(Pump::held_in_memory(), 0);
  AnyServer& server = Serve(EchoHandler());
  RawClient idle = ClientOf(server);
  RawClient client = ClientOf(server);
  // No pipe is taken behind urgent data.
  ASSERT_EQ(send(client.socket().native_handle(), "!", 1, MSG_OOB), 1);
  Flood(client);
  const auto waiting = std::next(server.connections().begin());
  const auto held = static_cast<int64_t>(waiting->second->bytes_to_write());
  EXPECT_GT(held, 0);
  EXPECT_GE(Pump::held_in_memory(), held);
  client.Reset();
  ClosedReasons(1);
  EXPECT_EQ(Pump::held_in_memory(), 0);
}

TEST_F(HandlersTest, EchoClosesAPeerThatDoesNotReadAndNoListener) {
  AnyServer& server = Serve(EchoHandler(), AtMost(std::chrono::seconds(10)));
  RawClient client = ClientOf(server);
  Flood(client);
  time().Advance(std::chrono::seconds(11));
  EXPECT_EQ(ClosedReasons(1).at(0), CloseReason::kBufferAge);
  Settle();
  EXPECT_FALSE(server.is_closed());
}

TEST_F(HandlersTest, TheAgeIsThatOfWhatIsHeldNow) {
  AnyServer& server = Serve(EchoHandler(), AtMost(std::chrono::seconds(10)));
  RawClient client = ClientOf(server);
  Flood(client);
  const auto connection = server.connections().begin()->second;
  time().Advance(std::chrono::seconds(5));
  while (connection->bytes_to_write() > 0) {
    client.Receive(1 << 16);
    Settle();
  }
  time().Advance(std::chrono::seconds(1));
  Flood(client);
  ASSERT_GT(connection->bytes_to_write(), 0u);
  // What was held first would be too old by now.
  time().Advance(std::chrono::seconds(9));
  Settle();
  EXPECT_TRUE(connection->is_open());
  time().Advance(std::chrono::seconds(1));
  EXPECT_EQ(ClosedReasons(1).at(0), CloseReason::kBufferAge);
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

TEST_F(HandlersTest, EchoSendsBackWhatCameBeforeItIsClosed) {
  AnyServer& server = Serve(EchoHandler());
  RawClient client = ClientOf(server);
  Flood(client);
  const auto connection = server.connections().begin()->second;
  ASSERT_GT(connection->bytes_to_write(), 0u);
  server.Close(ExistingConnections::kClose);
  Settle();
  EXPECT_TRUE(connection->is_open());
  const RawClient::Drained drained = client.Drain();
  EXPECT_EQ(drained.end, "EOF");
  EXPECT_EQ(ClosedReasons(1).at(0), CloseReason::kListenerClosed);
  EXPECT_EQ(static_cast<int64_t>(drained.bytes), connection->bytes_sent());
  EXPECT_EQ(connection->bytes_to_write(), 0u);
}

TEST_F(HandlersTest, EchoIsForcedToEndAfterThirtySeconds) {
  AnyServer& server = Serve(EchoHandler());
  RawClient client = ClientOf(server);
  Flood(client);
  const auto connection = server.connections().begin()->second;
  server.Close(ExistingConnections::kClose);
  time().Advance(std::chrono::seconds(29));
  Settle();
  EXPECT_TRUE(connection->is_open());
  time().Advance(std::chrono::seconds(1));
  EXPECT_EQ(ClosedReasons(1).at(0), CloseReason::kForced);
}

// An alarm that was set for what was held before rings in between.
TEST_F(HandlersTest, EchoIsForcedToEndAfterAnEarlierLookAtItsAge) {
  AnyServer& server = Serve(EchoHandler(), AtMost(std::chrono::seconds(40)));
  RawClient client = ClientOf(server);
  Flood(client);
  const auto connection = server.connections().begin()->second;
  time().Advance(std::chrono::seconds(30));
  while (connection->bytes_to_write() > 0) {
    client.Receive(1 << 16);
    Settle();
  }
  time().Advance(std::chrono::seconds(1));
  Flood(client);
  ASSERT_GT(connection->bytes_to_write(), 0u);
  server.Close(ExistingConnections::kClose);
  time().Advance(std::chrono::seconds(29));
  Settle();
  EXPECT_TRUE(connection->is_open());
  time().Advance(std::chrono::seconds(1));
  Settle();
  EXPECT_FALSE(connection->is_open());
  EXPECT_EQ(connection->reason(), CloseReason::kForced);
}

TEST_F(HandlersTest, EchoSendsBackMuchUnchanged) {
  AnyServer& server = Serve(EchoHandler());
  RawClient client = ClientOf(server);
  for (int i = 0; i < 64; ++i) {
    std::string block(50'000 + 1'000 * i, '\0');
    for (size_t j = 0; j < block.size(); ++j) {
      block[j] = static_cast<char>(j * 31 + j / 251 + i);
    }
    ASSERT_EQ(client.Send(block), "ok");
    ASSERT_EQ(client.ReceiveExactly(block.size()), block);
  }
  client.CloseSending();
  EXPECT_EQ(client.Receive(), "EOF");
}

TEST_F(HandlersTest, DroppedClientsSeeTheEndOfFile) {
  ServerOptions options;
  options.drop_incoming_connections = true;
  AnyServer& server = Serve(EchoHandler(), std::move(options));
  RawClient client = ClientOf(server);
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(server.dropped_total(), 1);
  EXPECT_EQ(server.num_connections(), 0);
}

class DroppedClientsTest : public HandlersTest {
 protected:
  DescriptorBudget budget_{1};
};

TEST_F(DroppedClientsTest, GiveTheirDescriptorsBack) {
  ServerOptions options;
  options.drop_incoming_connections = true;
  options.descriptor_budget = &budget_;
  AnyServer& server = Serve(EchoHandler(), std::move(options));
  for (int i = 0; i < 3; ++i) {
    RawClient client = ClientOf(server);
    EXPECT_EQ(client.Receive(), "EOF");
  }
  EXPECT_EQ(server.dropped_total(), 3);
  EXPECT_EQ(budget_.num_free(), 1);
}

TEST_F(HandlersTest, NoMoreThanMaxConnectionsAreAccepted) {
  ServerOptions options;
  options.max_connections = 3;
  AnyServer& server = Serve(EchoHandler(), std::move(options));
  std::vector<RawClient> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(ClientOf(server));
  for (size_t i = 0; i < clients.size(); ++i) {
    clients[i].Send("x");
    // In the order of their arrival: whoever is answered is among the first.
    EXPECT_EQ(clients[i].ReceiveExactly(1), "x");
    EXPECT_LE(server.num_connections(), 3);
    clients[i].Close();
  }
  EXPECT_EQ(server.accepted_total(), 20);
  EXPECT_EQ(TakeLog().size(), 1u);  // That the limit was reached.
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
