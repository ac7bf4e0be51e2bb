// Dial: a stream is a socket that the daemon connects.
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/descriptor.h"
#include "tests/server/remote_fixture.h"
#include "tests/testing/full_unix_listener.h"
#include "tests/testing/log_lines.h"

namespace portreeve::testing {
namespace {

v1::ClientFrame DialFrame(const std::string& host, int port) {
  v1::ClientFrame frame;
  auto& inet =
      *frame.mutable_dial()->mutable_where_to_connect()->mutable_inet();
  inet.set_host(host);
  inet.set_port(port);
  return frame;
}

class DialTest : public RemoteFixture {
 protected:
  std::unique_ptr<SocketCall> Dial(const v1::ClientFrame& frame) {
    auto call =
        std::make_unique<SocketCall>(connections(), &SocketCall::Stub::Dial);
    call->Send(frame);
    return call;
  }
  std::string Refusal(const v1::ClientFrame& frame) {
    return Dial(frame)->Rest();
  }

  // A dialled connection, and its peer.
  struct Dialled {
    std::unique_ptr<SocketCall> call;
    v1::Connection connection;
    std::unique_ptr<PlainClient> peer;
  };
  Dialled Connected() {
    Dialled dialled;
    dialled.call = Dial(DialFrame("127.0.0.1", target_.port()));
    dialled.connection = dialled.call->ReadOpened();
    dialled.peer = std::make_unique<PlainClient>(target_.Accept());
    return dialled;
  }

  PlainListener target_;
};

TEST_F(DialTest, CarriesBothWays) {
  const Dialled dialled = Connected();
  dialled.call->SendData("ping");
  dialled.peer->Expect("ping");
  dialled.peer->Send("pong");
  EXPECT_EQ(dialled.call->ReadData(4), "pong");
  dialled.call->Send(DoneFrame());
  EXPECT_EQ(dialled.peer->ReceiveAll(), "|EOF");
  EXPECT_EQ(dialled.call->Rest(), "closed HANDLER_DONE|OK");
}

TEST_F(DialTest, WhatIsSentBeforeOpenedIsKept) {
  const auto call = Dial(DialFrame("127.0.0.1", target_.port()));
  call->SendData("early");
  target_.Accept().Expect("early");
}

TEST_F(DialTest, EachDirectionEndsByItself) {
  const Dialled dialled = Connected();
  dialled.call->Send(EofFrame());
  EXPECT_EQ(dialled.peer->Receive(), "EOF");
  dialled.peer->Send("still");
  EXPECT_EQ(dialled.call->ReadData(5), "still");
  dialled.peer->HalfClose();
  dialled.call->ReadEof();
  dialled.call->Send(DoneFrame());
  EXPECT_EQ(dialled.call->Rest(), "closed PEER_CLOSED|OK");

  const Dialled other = Connected();
  other.peer->HalfClose();
  other.call->ReadEof();
  other.call->SendData("still");
  other.peer->Expect("still");
  other.call->EndSending();
  EXPECT_EQ(other.peer->ReceiveAll(), "|EOF");
  EXPECT_EQ(other.call->Rest(), "closed PEER_CLOSED|OK");
}

TEST_F(DialTest, ResetsGoEachWay) {
  const Dialled ours = Connected();
  ours.call->Send(ResetFrame());
  EXPECT_EQ(ours.peer->Receive(), "ECONNRESET");
  EXPECT_EQ(ours.call->Rest(), "closed HANDLER_DONE|OK");

  const Dialled theirs = Connected();
  theirs.peer->Send("last");
  theirs.peer->Reset();
  EXPECT_EQ(theirs.call->Rest(), "last|eof by reset|closed PEER_RESET|OK");
}

// Busy, and not unreachable.
TEST_F(DialTest, AFullUnixBacklogIsTriedAgainUntilTheTimeout) {
  char directory[] = "/tmp/portreeve-dial-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string path = std::string(directory) + "/busy";
  FullUnixListener listener(path);
  v1::ClientFrame frame;
  auto& dial = *frame.mutable_dial();
  dial.mutable_where_to_connect()->mutable_unix_socket()->set_path(path);
  dial.mutable_timeout()->set_nanos(20'000'000);
  EXPECT_EQ(Refusal(frame), "4 / CONNECT_TIMEOUT");
  dial.clear_timeout();
  const auto call = Dial(frame);
  std::vector<Descriptor> accepted;
  for (size_t i = 0; i < listener.num_fillers(); ++i) {
    accepted.push_back(listener.Accept());
  }
  call->ReadOpened();
  unlink(path.c_str());
  rmdir(directory);
}

TEST_F(DialTest, ConnectsToUnixSockets) {
  char directory[] = "/tmp/portreeve-dial-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string path = std::string(directory) + "/echo";
  v1::ListenerSpec spec = EchoSpec();
  spec.mutable_where_to_listen()->mutable_unix_socket()->set_path(path);
  Create(spec, "echo");
  v1::ClientFrame frame;
  frame.mutable_dial()
      ->mutable_where_to_connect()
      ->mutable_unix_socket()
      ->set_path(path);
  const auto call = Dial(frame);
  EXPECT_EQ(call->ReadOpened().peer().unix_socket().path(), path);
  call->SendData("ping");
  EXPECT_EQ(call->ReadData(4), "ping");
  call->EndSending();
  EXPECT_EQ(call->Rest(), "eof|closed PEER_CLOSED|OK");
  Close("listeners/echo");
  EXPECT_EQ(rmdir(directory), 0);
}

TEST_F(DialTest, IsListedAndToldInEvents) {
  const Dialled dialled = Connected();
  const v1::Connection& opened = dialled.connection;
  EXPECT_EQ(opened.direction(), v1::DIRECTION_OUTBOUND);
  EXPECT_EQ(opened.state(), v1::CONNECTION_STATE_OPEN);
  EXPECT_EQ(opened.listener(), "");
  EXPECT_EQ(opened.peer().inet().port(), target_.port());
  EXPECT_EQ(opened.local().inet().address(), "127.0.0.1");
  const auto listed = Connections();
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0].DebugString(), opened.DebugString());
  dialled.call->SendData("12345");
  dialled.peer->Expect("12345");
  dialled.peer->Close();
  dialled.call->ReadEof();
  dialled.call->Send(DoneFrame());
  EXPECT_EQ(dialled.call->Rest(), "closed PEER_CLOSED|OK");
  EXPECT_EQ(AwaitClosed(opened.name()), v1::CLOSE_REASON_PEER_CLOSED);
  EXPECT_TRUE(Connections().empty());
  const auto events = Events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].connection_accepted().connection().name(), opened.name());
  const v1::Connection& closed = events[1].connection_closed().connection();
  EXPECT_EQ(closed.direction(), v1::DIRECTION_OUTBOUND);
  EXPECT_EQ(closed.bytes_sent(), 5);
  EXPECT_EQ(closed.state(), v1::CONNECTION_STATE_CLOSED);
}

TEST_F(DialTest, CloseConnectionIsToldAsCalled) {
  const Dialled dialled = Connected();
  v1::CloseConnectionRequest request;
  request.set_name(dialled.connection.name());
  grpc::ClientContext context;
  v1::Connection closed;
  EXPECT_EQ(Shown(connections().CloseConnection(&context, request, &closed)),
            "OK");
  EXPECT_EQ(closed.close_reason(), v1::CLOSE_REASON_CALLED);
  EXPECT_EQ(dialled.peer->Receive(), "EOF");
  EXPECT_EQ(dialled.call->Rest(), "closed CALLED|OK");
}

TEST_F(DialTest, RaisedClosesTheConnection) {
  const LogLines log(LogLevel::kDebug);
  const Dialled dialled = Connected();
  dialled.call->SendData("last");
  dialled.call->Send(RaisedFrame("disk full"));
  EXPECT_EQ(dialled.peer->ReceiveAll(), "last|EOF");
  EXPECT_EQ(dialled.call->Rest(), "closed HANDLER_ERROR|OK");
  EXPECT_EQ(AwaitClosed(dialled.connection.name()),
            v1::CLOSE_REASON_HANDLER_ERROR);
  // Nobody's handler has raised.
  EXPECT_FALSE(HasEvent(v1::Event::kHandlerError));
  const std::string& name = dialled.connection.name();
  ASSERT_EQ(log.lines().size(), 2u);
  EXPECT_EQ(log.lines()[0], "warning: " + name + ": disk full");
  const std::string end = "debug: " + name + ": ended: HANDLER_ERROR after ";
  EXPECT_EQ(log.lines()[1].rfind(end, 0), 0u) << log.lines()[1];
}

TEST_F(DialTest, ATimeoutOfZeroIsAtOnce) {
  v1::ClientFrame frame = DialFrame("127.0.0.1", target_.port());
  frame.mutable_dial()->mutable_timeout();
  EXPECT_EQ(Refusal(frame), "4 / CONNECT_TIMEOUT");
  EXPECT_TRUE(Events().empty());
}

TEST_F(DialTest, NobodyListensThere) {
  const int port = target_.port();
  target_.Close();
  EXPECT_EQ(Refusal(DialFrame("127.0.0.1", port)), "14 / CONNECT_REFUSED");
  EXPECT_TRUE(Connections().empty());
  EXPECT_TRUE(Events().empty());
}

TEST_F(DialTest, AUnixSocketThatIsMissingRefuses) {
  for (const char* path :
       {"/no/such/directory/socket", "/tmp/portreeve-no-such-socket"}) {
    v1::ClientFrame frame;
    frame.mutable_dial()
        ->mutable_where_to_connect()
        ->mutable_unix_socket()
        ->set_path(path);
    EXPECT_EQ(Refusal(frame), "14 / CONNECT_REFUSED");
  }
}

// Whichever way it ends, the next one finds its descriptor.
TEST_F(DialTest, EachGivesItsDescriptorBack) {
  OnLoop([this] { budget().Take(budget().num_free() - 1); });
  {
    const Dialled dialled = Connected();
    EXPECT_EQ(Refusal(DialFrame("127.0.0.1", target_.port())), "8 / FD_LIMIT");
    dialled.call->Send(DoneFrame());
    EXPECT_EQ(dialled.call->Rest(), "closed HANDLER_DONE|OK");
  }
  {
    const Dialled dialled = Connected();
    dialled.call->Cancel();
    AwaitClosed(dialled.connection.name());
  }
  PlainListener gone;
  const int port = gone.port();
  gone.Close();
  EXPECT_EQ(Refusal(DialFrame("127.0.0.1", port)), "14 / CONNECT_REFUSED");
  EXPECT_TRUE(Connected().call->SendData("x"));
}

TEST_F(DialTest, LinkLocalAddressesAreOutsideThePolicy) {
  for (const std::string& host :
       {std::string("169.254.169.254"), std::string("169.254.0.1"),
        std::string("fe80::1"), std::string("::ffff:169.254.169.254")}) {
    EXPECT_EQ(Refusal(DialFrame(host, 80)).substr(0, 18), "7 / OUTSIDE_POLICY")
        << host;
  }
}

TEST_F(DialTest, ChecksItsFirstFrame) {
  v1::ClientFrame attach;
  attach.mutable_attach()->set_connection("connections/a1");
  for (const v1::ClientFrame& frame :
       {v1::ClientFrame(), DataFrame("x"), DoneFrame(), attach}) {
    EXPECT_EQ(Refusal(frame), "3 / INVALID_FIELD / dial");
  }
  const std::string where = "3 / INVALID_FIELD / dial.where_to_connect";
  v1::ClientFrame empty;
  empty.mutable_dial();
  EXPECT_EQ(Refusal(empty), where);
  EXPECT_EQ(Refusal(DialFrame("", 80)), where + ".inet.host");
  EXPECT_EQ(Refusal(DialFrame("127.0.0.1", 0)), where + ".inet.port");
  EXPECT_EQ(Refusal(DialFrame("127.0.0.1", 65536)), where + ".inet.port");
  v1::ClientFrame timeout = DialFrame("127.0.0.1", target_.port());
  timeout.mutable_dial()->mutable_timeout()->set_seconds(-1);
  EXPECT_EQ(Refusal(timeout), "3 / INVALID_FIELD / dial.timeout");
  v1::ClientFrame age = DialFrame("127.0.0.1", target_.port());
  age.mutable_dial()->mutable_buffer_age_limit()->mutable_at_most();
  EXPECT_EQ(Refusal(age), "3 / INVALID_FIELD / dial.buffer_age_limit.at_most");
  EXPECT_FALSE(target_.HasClient());
}

// The backlog is full, so the kernel lets those who connect wait.
TEST_F(DialTest, CancelBeforeOpenedInterrupts) {
  const PlainListener full(0);
  const PlainClient filler(full.port());
  const auto call = Dial(DialFrame("127.0.0.1", full.port()));
  const auto idle = [this] { return registry().dialler().idle(); };
  WaitUntil([&] { return !OnLoop(idle); });
  call->Cancel();
  EXPECT_EQ(call->Rest(), "1 / ");
  WaitUntil([&] { return OnLoop(idle); });
  EXPECT_TRUE(Connections().empty());
  EXPECT_TRUE(Events().empty());
}

// A dial is shown while it is under way; only what is connected is an event.
TEST_F(DialTest, OneThatIsUnderWayIsListed) {
  PlainListener full(0);
  const PlainClient filler(full.port());
  const auto call = Dial(DialFrame("127.0.0.1", full.port()));
  WaitUntil([this] { return Connections().size() == 1; });
  const v1::Connection opening = Connections()[0];
  EXPECT_EQ(opening.state(), v1::CONNECTION_STATE_OPENING);
  EXPECT_EQ(opening.direction(), v1::DIRECTION_OUTBOUND);
  EXPECT_EQ(opening.peer().inet().port(), full.port());
  EXPECT_FALSE(opening.has_local());
  EXPECT_GT(opening.create_time().seconds(), 0);
  EXPECT_TRUE(Events().empty());
  // There is room in the backlog, which the kernel tries again.
  const PlainClient accepted = full.Accept();
  const v1::Connection opened = call->ReadOpened();
  EXPECT_EQ(opened.name(), opening.name());
  EXPECT_EQ(opened.state(), v1::CONNECTION_STATE_OPEN);
  const auto events = Events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].connection_accepted().connection().DebugString(),
            opened.DebugString());
}

TEST_F(DialTest, CloseConnectionInterruptsOneThatIsUnderWay) {
  const PlainListener full(0);
  const PlainClient filler(full.port());
  const auto call = Dial(DialFrame("127.0.0.1", full.port()));
  WaitUntil([this] { return Connections().size() == 1; });
  v1::CloseConnectionRequest request;
  request.set_name(Connections()[0].name());
  grpc::ClientContext context;
  v1::Connection closed;
  EXPECT_EQ(Shown(connections().CloseConnection(&context, request, &closed)),
            "OK");
  EXPECT_EQ(closed.name(), request.name());
  EXPECT_EQ(closed.state(), v1::CONNECTION_STATE_CLOSED);
  EXPECT_EQ(closed.close_reason(), v1::CLOSE_REASON_CALLED);
  EXPECT_EQ(call->Rest(), "1 / CONNECT_INTERRUPTED");
  EXPECT_TRUE(Connections().empty());
  EXPECT_TRUE(Events().empty());
}

TEST_F(DialTest, TheTimeoutEndsTheAttempt) {
  const PlainListener full(0);
  const PlainClient filler(full.port());
  v1::ClientFrame frame = DialFrame("127.0.0.1", full.port());
  frame.mutable_dial()->mutable_timeout()->set_nanos(100'000'000);
  EXPECT_EQ(Refusal(frame), "4 / CONNECT_TIMEOUT");
  EXPECT_TRUE(Events().empty());
}

TEST_F(DialTest, CancelAfterOpenedResets) {
  for (int i = 0; i < 20; ++i) {
    const Dialled dialled = Connected();
    dialled.call->SendData("cut");
    dialled.call->Cancel();
    const std::string all = dialled.peer->ReceiveAll();
    EXPECT_EQ(all.substr(all.find('|')), "|ECONNRESET");
    EXPECT_EQ(AwaitClosed(dialled.connection.name()),
              v1::CLOSE_REASON_CANCELLED);
    EXPECT_EQ(dialled.call->Rest(), "1 / ");
  }
}

// The peer does not read, but the kernel takes three frames.
TEST_F(DialTest, ItsEndsWaitForNoPeer) {
  const std::string frame(64 << 10, 'x');
  for (const v1::ClientFrame& end :
       {ResetFrame(), DoneFrame(), RaisedFrame("disk full")}) {
    const Dialled dialled = Connected();
    for (int i = 0; i < 3; ++i) dialled.call->SendData(frame);
    WaitUntil([&] { return Connections().at(0).bytes_sent() == 3 * 64 << 10; });
    dialled.call->Send(end);
    WaitUntil([this] {
      const auto connections = Connections();
      return connections.empty() ||
             connections[0].state() == v1::CONNECTION_STATE_CLOSING;
    });
    const std::string all = dialled.peer->ReceiveAll();
    if (end.has_reset()) {
      EXPECT_EQ(all.substr(all.find('|')), "|ECONNRESET");
    } else {
      EXPECT_TRUE(all == frame + frame + frame + "|EOF");
    }
    EXPECT_EQ(dialled.call->Rest(), end.has_raised()
                                        ? "closed HANDLER_ERROR|OK"
                                        : "closed HANDLER_DONE|OK");
  }
}

TEST_F(DialTest, WhatWaitsIsShownAndAges) {
  v1::ClientFrame frame = DialFrame("127.0.0.1", target_.port());
  frame.mutable_dial()
      ->mutable_buffer_age_limit()
      ->mutable_at_most()
      ->set_nanos(500'000'000);
  const auto call = Dial(frame);
  call->ReadOpened();
  PlainClient peer = target_.Accept();
  std::thread client([&] {
    while (call->SendData(std::string(64 << 10, 'x'))) {
    }
  });
  WaitUntil([this] {
    const auto connections = Connections();
    return connections.empty() || connections[0].bytes_to_write() > 0;
  });
  EXPECT_FALSE(Connections().empty());
  EXPECT_EQ(call->Rest(), "closed BUFFER_AGE|OK");
  client.join();
  const std::string all = peer.ReceiveAll();
  EXPECT_EQ(all.substr(all.find('|')), "|ECONNRESET");
}

TEST_F(DialTest, CancelAfterEofIsFlushedCutsNothing) {
  const Dialled dialled = Connected();
  dialled.call->SendData("all of it");
  dialled.call->Send(EofFrame());
  EXPECT_EQ(dialled.peer->ReceiveAll(), "all of it|EOF");
  dialled.call->Cancel();
  EXPECT_EQ(AwaitClosed(dialled.connection.name()), v1::CLOSE_REASON_CANCELLED);
  EXPECT_EQ(dialled.peer->Receive(), "EOF");
}

TEST_F(DialTest, AFrameOutOfPlaceResets) {
  const Dialled dialled = Connected();
  dialled.call->Send(DialFrame("127.0.0.1", target_.port()));
  EXPECT_EQ(dialled.call->Rest(), "3 / INVALID_FIELD / dial");
  EXPECT_EQ(dialled.peer->Receive(), "ECONNRESET");
}

}  // namespace
}  // namespace portreeve::testing
