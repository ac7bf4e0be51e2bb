// Attach: a stream is a socket.  What goes through it, and how it ends.
#include <memory>
#include <string>
#include <thread>

#include "tests/server/remote_fixture.h"

namespace portreeve::testing {
namespace {

class AttachTest : public RemoteFixture {
 protected:
  AttachTest() { CreateRemote(); }

  v1::Connection CloseConnection(const std::string& name, v1::CloseMode mode) {
    v1::CloseConnectionRequest request;
    request.set_name(name);
    request.set_mode(mode);
    grpc::ClientContext context;
    v1::Connection connection;
    EXPECT_EQ(
        Shown(connections().CloseConnection(&context, request, &connection)),
        "OK");
    return connection;
  }
};

TEST_F(AttachTest, OpenedComesFirstAndTellsTheConnection) {
  const Served offered = Offered();
  EXPECT_EQ(Connections().at(0).state(), v1::CONNECTION_STATE_UNCLAIMED);
  SocketCall call(connections(), offered.name);
  const v1::Connection connection = call.ReadOpened();
  EXPECT_EQ(connection.name(), offered.name);
  EXPECT_EQ(connection.listener(), "listeners/remote");
  EXPECT_EQ(connection.state(), v1::CONNECTION_STATE_OPEN);
  EXPECT_EQ(connection.direction(), v1::DIRECTION_INBOUND);
  EXPECT_EQ(connection.local().inet().port(), port());
}

TEST_F(AttachTest, WhatIsSentBeforeOpenedIsKept) {
  const Served offered = Offered();
  offered.peer->Send("from the peer");
  SocketCall call(connections(), offered.name);
  call.SendData("from the client");
  call.SendData(", twice");
  offered.peer->Expect("from the client, twice");
  call.ReadOpened();
  EXPECT_EQ(call.ReadData(13), "from the peer");
}

TEST_F(AttachTest, CarriesEveryByteBothWays) {
  const Served served = Attached();
  const std::string piece(100'000, 'x');
  std::string all;
  for (int i = 0; i < 20; ++i) all += piece + std::to_string(i);
  std::thread peer([&] { served.peer->Send(all); });
  EXPECT_TRUE(served.call->ReadData(all.size()) == all);
  peer.join();
  std::thread client([&] {
    for (size_t at = 0; at < all.size(); at += 256 << 10) {
      served.call->SendData(all.substr(at, 256 << 10));
    }
  });
  served.peer->Expect(all);
  client.join();
  const v1::Connection connection = Connections().at(0);
  EXPECT_EQ(connection.bytes_received(), static_cast<int64_t>(all.size()));
  EXPECT_EQ(connection.bytes_sent(), static_cast<int64_t>(all.size()));
}

TEST_F(AttachTest, EmptyDataIsNothing) {
  const Served served = Attached();
  served.call->SendData("");
  served.call->SendData("x");
  served.peer->Expect("x");
}

TEST_F(AttachTest, ThePeersEndLeavesTheOtherDirection) {
  const Served served = Attached();
  served.peer->Send("last");
  served.peer->HalfClose();
  EXPECT_EQ(served.call->ReadData(4), "last");
  for (int i = 0; i < 10; ++i) {
    served.call->SendData("still");
    served.peer->Expect("still");
  }
  served.call->Send(DoneFrame());
  EXPECT_EQ(served.call->Rest(), "eof|closed PEER_CLOSED|OK");
  EXPECT_EQ(served.peer->ReceiveAll(), "|EOF");
}

TEST_F(AttachTest, TheClientsEndLeavesTheOtherDirection) {
  const Served served = Attached();
  served.call->SendData("last");
  served.call->Send(EofFrame());
  EXPECT_EQ(served.peer->ReceiveAll(), "last|EOF");
  for (int i = 0; i < 10; ++i) {
    served.peer->Send("still");
    EXPECT_EQ(served.call->ReadData(5), "still");
  }
  served.call->Send(DoneFrame());
  EXPECT_EQ(served.call->Rest(), "closed HANDLER_DONE|OK");
  EXPECT_EQ(AwaitClosed(served.name), v1::CLOSE_REASON_HANDLER_DONE);
}

TEST_F(AttachTest, DoneFlushesFirst) {
  const Served served = Attached();
  const std::string data(200'000, 'x');
  std::thread client([&] {
    for (int i = 0; i < 10; ++i) served.call->SendData(data);
    served.call->Send(DoneFrame());
  });
  std::string all;
  for (int i = 0; i < 10; ++i) all += data;
  EXPECT_TRUE(served.peer->ReceiveAll() == all + "|EOF");
  client.join();
  EXPECT_EQ(served.call->Rest(), "closed HANDLER_DONE|OK");
}

TEST_F(AttachTest, ResetIsAReset) {
  const Served served = Attached();
  served.call->Send(ResetFrame());
  EXPECT_EQ(served.peer->Receive(), "ECONNRESET");
  EXPECT_EQ(served.call->Rest(), "closed HANDLER_DONE|OK");
  EXPECT_EQ(AwaitClosed(served.name), v1::CLOSE_REASON_HANDLER_DONE);
  EXPECT_FALSE(HasEvent(v1::Event::kHandlerError));
}

TEST_F(AttachTest, ThePeersResetTellsWhatCameThenEofThenClosed) {
  const Served served = Attached();
  served.peer->Send("last");
  served.peer->Reset();
  EXPECT_EQ(served.call->Rest(), "last|eof by reset|closed PEER_RESET|OK");
  EXPECT_EQ(AwaitClosed(served.name), v1::CLOSE_REASON_PEER_RESET);
}

TEST_F(AttachTest, ThePeersResetAfterItsEofTellsNoSecondEof) {
  const Served served = Attached();
  served.call->SendData(std::string(100'000, 'x'));
  served.peer->HalfClose();
  served.call->ReadEof();
  served.peer->Reset();
  EXPECT_EQ(served.call->Rest(), "closed PEER_CLOSED|OK");
}

TEST_F(AttachTest, TheEndOfTheStreamIsEofAndThenDone) {
  const Served served = Attached();
  served.call->SendData("last");
  served.call->EndSending();
  EXPECT_EQ(served.peer->ReceiveAll(), "last|EOF");
  served.peer->Send("more");
  EXPECT_EQ(served.call->ReadData(4), "more");
  served.peer->Close();
  EXPECT_EQ(served.call->Rest(), "eof|closed PEER_CLOSED|OK");
}

TEST_F(AttachTest, TheEndOfTheStreamAfterThePeersEofIsDone) {
  const Served served = Attached();
  served.peer->HalfClose();
  served.call->ReadEof();
  served.call->SendData("last");
  served.call->EndSending();
  EXPECT_EQ(served.call->Rest(), "closed PEER_CLOSED|OK");
  EXPECT_EQ(served.peer->ReceiveAll(), "last|EOF");
}

TEST_F(AttachTest, CloseConnectionIsToldAsCalled) {
  for (const v1::CloseMode mode :
       {v1::CLOSE_MODE_CLOSE, v1::CLOSE_MODE_RESET}) {
    const Served served = Attached();
    served.call->SendData("flushed");
    served.peer->Expect("flushed");
    const v1::Connection closed = CloseConnection(served.name, mode);
    EXPECT_EQ(closed.close_reason(), v1::CLOSE_REASON_CALLED);
    EXPECT_EQ(served.call->Rest(), "closed CALLED|OK");
    EXPECT_EQ(served.peer->Receive(),
              mode == v1::CLOSE_MODE_RESET ? "ECONNRESET" : "EOF");
  }
  EXPECT_FALSE(HasEvent(v1::Event::kHandlerError));
  ExpectStillServing();
}

TEST_F(AttachTest, CloseListenerMayCloseIt) {
  const Served served = Attached();
  Close("listeners/remote", v1::EXISTING_CONNECTIONS_CLOSE);
  EXPECT_EQ(served.peer->ReceiveAll(), "|EOF");
  EXPECT_EQ(served.call->Rest(), "closed LISTENER_CLOSED|OK");
  EXPECT_EQ(worker().Rest(), "OK");
}

TEST_F(AttachTest, CloseListenerMayResetIt) {
  const Served served = Attached();
  Close("listeners/remote", v1::EXISTING_CONNECTIONS_RESET);
  EXPECT_EQ(served.peer->Receive(), "ECONNRESET");
  EXPECT_EQ(served.call->Rest(), "closed LISTENER_CLOSED|OK");
}

TEST_F(AttachTest, CloseListenerMayLeaveIt) {
  const Served served = Attached();
  Close("listeners/remote");
  served.peer->Send("x");
  EXPECT_EQ(served.call->ReadData(1), "x");
  served.call->Send(DoneFrame());
  EXPECT_EQ(served.call->Rest(), "closed HANDLER_DONE|OK");
  EXPECT_EQ(worker().Rest(), "OK");
}

// Neither what comes from a peer whose client does not read, nor what waits
// for it, slows the others; and the daemon takes only so much of it.
TEST_F(AttachTest, AClientThatDoesNotReadSlowsNobody) {
  const Served stalled = Attached();
  const Served lively = Attached();
  const std::string data(16 << 20, 'x');
  std::thread peer([&] { stalled.peer->Send(data); });
  for (int i = 0; i < 200; ++i) {
    lively.peer->Send("ping");
    EXPECT_EQ(lively.call->ReadData(4), "ping");
    lively.call->SendData("pong");
    lively.peer->Expect("pong");
    for (const v1::Connection& connection : Connections()) {
      EXPECT_LT(connection.bytes_received(), 8 << 20);
    }
  }
  EXPECT_TRUE(stalled.call->ReadData(data.size()) == data);
  peer.join();
}

}  // namespace
}  // namespace portreeve::testing
