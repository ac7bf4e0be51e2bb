// Attach that is refused, breaks, or is against the contract.
#include <memory>
#include <string>
#include <vector>

#include "tests/server/remote_fixture.h"

namespace portreeve::testing {
namespace {

class AttachRefusedTest : public RemoteFixture {
 protected:
  AttachRefusedTest() { CreateRemote(); }

  std::string RestOf(const v1::ClientFrame& first) {
    SocketCall call(connections(), &SocketCall::Stub::Attach);
    call.Send(first);
    return call.Rest();
  }

  // The stream has ended with `status` and counts as broken: a reset.
  void ExpectBroken(const Served& served, const std::string& status) {
    EXPECT_EQ(served.call->Rest(), status);
    EXPECT_EQ(served.peer->Receive(), "ECONNRESET");
    EXPECT_EQ(AwaitClosed(served.name), v1::CLOSE_REASON_CLIENT_GONE);
  }
};

TEST_F(AttachRefusedTest, TheFirstFrameMustBeAttach) {
  v1::ClientFrame dial;
  auto& inet = *dial.mutable_dial()->mutable_where_to_connect()->mutable_inet();
  inet.set_host("127.0.0.1");
  inet.set_port(port());
  for (const v1::ClientFrame& frame :
       {v1::ClientFrame(), DataFrame("x"), EofFrame(), DoneFrame(),
        ResetFrame(), RaisedFrame("x"), dial}) {
    EXPECT_EQ(RestOf(frame), "3 / INVALID_FIELD / attach")
        << frame.ShortDebugString();
  }
  SocketCall silent(connections(), &SocketCall::Stub::Attach);
  silent.EndSending();
  EXPECT_EQ(silent.Rest(), "3 / INVALID_FIELD / attach");
  ExpectStillServing();
}

TEST_F(AttachRefusedTest, TheNameMustBeOne) {
  for (const std::string& name :
       {std::string(), std::string("x"), std::string("connections/"),
        std::string("listeners/remote"), std::string("connections/a1/x"),
        std::string(100'000, 'x')}) {
    EXPECT_EQ(RestOf(AttachFrame(name)),
              "3 / INVALID_FIELD / attach.connection");
  }
}

TEST_F(AttachRefusedTest, TheConnectionMustBeThere) {
  EXPECT_EQ(RestOf(AttachFrame("connections/f123456")), "5 / NOT_FOUND");
  const Served served = Attached();
  served.call->Send(DoneFrame());
  EXPECT_EQ(served.call->Rest(), "closed HANDLER_DONE|OK");
  EXPECT_EQ(RestOf(AttachFrame(served.name)), "5 / NOT_FOUND");
}

TEST_F(AttachRefusedTest, APeerThatLeftWithAResetIsNotThere) {
  const Served offered = Offered();
  offered.peer->Reset();
  EXPECT_EQ(AwaitClosed(offered.name), v1::CLOSE_REASON_PEER_RESET);
  EXPECT_EQ(RestOf(AttachFrame(offered.name)), "5 / NOT_FOUND");
}

TEST_F(AttachRefusedTest, TheListenerMustBeRemote) {
  PlainClient peer(PortOf(Create(EchoSpec(), "echo")));
  peer.Send("x");
  peer.Expect("x");
  const std::string name = Connections("listeners/echo").at(0).name();
  EXPECT_EQ(RestOf(AttachFrame(name)), "9 / NOT_REMOTE");
  peer.Send("y");
  peer.Expect("y");
}

TEST_F(AttachRefusedTest, TheFirstAttachWins) {
  const Served served = Attached();
  EXPECT_EQ(RestOf(AttachFrame(served.name)), "9 / ALREADY_ATTACHED");
  served.peer->Send("ping");
  EXPECT_EQ(served.call->ReadData(4), "ping");
  served.call->SendData("pong");
  served.peer->Expect("pong");
}

TEST_F(AttachRefusedTest, AFrameOutOfPlaceBreaks) {
  v1::ClientFrame dial;
  dial.mutable_dial();
  const std::vector<std::pair<v1::ClientFrame, std::string>> cases = {
      {AttachFrame("connections/a1"), "3 / INVALID_FIELD / attach"},
      {dial, "3 / INVALID_FIELD / dial"},
      {v1::ClientFrame(), "3 / INVALID_FIELD"},
      {DataFrame(std::string((256 << 10) + 1, 'x')),
       "3 / INVALID_FIELD / data"},
  };
  for (const auto& [frame, status] : cases) {
    const Served served = Attached();
    served.call->Send(frame);
    ExpectBroken(served, status);
  }
  EXPECT_FALSE(HasEvent(v1::Event::kHandlerError));
  ExpectStillServing();
}

TEST_F(AttachRefusedTest, DataAfterEofBreaks) {
  const Served served = Attached();
  served.call->Send(EofFrame());
  served.call->SendData("x");
  EXPECT_EQ(served.call->Rest(), "3 / INVALID_FIELD / data");
  EXPECT_EQ(AwaitClosed(served.name), v1::CLOSE_REASON_CLIENT_GONE);
}

TEST_F(AttachRefusedTest, TheLargestFrameIsTaken) {
  const Served served = Attached();
  const std::string data(256 << 10, 'x');
  served.call->SendData(data);
  served.peer->Expect(data);
}

// The connection may be over by then, which is told; the data is lost.
TEST_F(AttachRefusedTest, DataAfterDoneIsNeverSent) {
  for (int i = 0; i < 20; ++i) {
    const Served served = Attached();
    served.call->SendData("last");
    served.peer->Expect("last");
    served.call->Send(DoneFrame());
    served.call->SendData("more");
    const std::string rest = served.call->Rest();
    if (rest != "closed HANDLER_DONE|OK") {
      EXPECT_EQ(rest, "3 / INVALID_FIELD / data");
    }
    const std::string all = served.peer->ReceiveAll();
    EXPECT_TRUE(all == "|EOF" || all == "|ECONNRESET") << all;
  }
}

// gRPC ends these calls by itself, and that must not pass for their end.
TEST_F(AttachRefusedTest, WhatGrpcDoesNotTakeBreaks) {
  for (int i = 0; i < 10; ++i) {
    const Served large = Attached();
    large.call->SendData("x");
    large.peer->Expect("x");
    large.call->SendData(std::string(2 << 20, 'x'));
    ExpectBroken(large, "8 / ");
  }
}

TEST_F(AttachRefusedTest, WhatIsNoFrameBreaks) {
  const Served served = Attached();
  served.call->Send(RaisedFrame("\xff"));  // Not UTF-8.
  ExpectBroken(served, "3 / INVALID_FIELD");
  EXPECT_FALSE(HasEvent(v1::Event::kHandlerError));
  EXPECT_EQ(RestOf(AttachFrame("\xff")), "3 / INVALID_FIELD");
}

// Whatever was on its way, the peer never sees a clean end.
TEST_F(AttachRefusedTest, AClientThatIsLostResets) {
  for (int i = 0; i < 100; ++i) {
    Served served = Attached();
    served.call->SendData("cut");
    if (i % 2 == 0) served.peer->Expect("cut");
    served.call->Cancel();
    const std::string all = served.peer->ReceiveAll();
    EXPECT_EQ(all.substr(all.find('|')), "|ECONNRESET") << i;
    EXPECT_EQ(AwaitClosed(served.name), v1::CLOSE_REASON_CLIENT_GONE);
    EXPECT_EQ(served.call->Rest(), "1 / ");
  }
  EXPECT_FALSE(HasEvent(v1::Event::kHandlerError));
  ExpectStillServing();
}

TEST_F(AttachRefusedTest, AClientThatIsLostAfterItsEofCutsNothing) {
  const Served served = Attached();
  served.call->SendData("all of it");
  served.call->Send(EofFrame());
  EXPECT_EQ(served.peer->ReceiveAll(), "all of it|EOF");
  served.call->Cancel();
  EXPECT_EQ(AwaitClosed(served.name), v1::CLOSE_REASON_CLIENT_GONE);
  EXPECT_EQ(served.peer->Receive(), "EOF");
}

TEST_F(AttachRefusedTest, AClientThatIsLostBeforeItReadsOpenedResets) {
  const Served offered = Offered();
  SocketCall call(connections(), offered.name);
  offered.peer->Send(std::string(1'000'000, 'x'));
  AwaitEvent([&](const v1::Event& event) {
    return event.connection_accepted().connection().name() == offered.name;
  });
  WaitUntil(
      [&] { return Connections().at(0).state() == v1::CONNECTION_STATE_OPEN; });
  call.Cancel();
  EXPECT_EQ(offered.peer->Receive(), "ECONNRESET");
  EXPECT_EQ(AwaitClosed(offered.name), v1::CLOSE_REASON_CLIENT_GONE);
}

}  // namespace
}  // namespace portreeve::testing
