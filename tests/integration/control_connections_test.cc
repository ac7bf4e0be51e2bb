// How many clients the control plane of a real daemon takes, and what becomes
// of those that misbehave.
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "portreeve/v1/connection.grpc.pb.h"
#include "tests/floods/flood_frames.h"
#include "tests/integration/control_fixture.h"
#include "tests/server/plain_socket.h"
#include "tests/server/stream_client.h"
#include "tests/testing/connected_channel.h"

namespace portreeve::testing {
namespace {

using ControlConnectionsTest = ControlFixture;

TEST_F(ControlConnectionsTest, AMomentWithoutDescriptorsEndsNothing) {
  DaemonProcess daemon;
  ASSERT_TRUE(daemon.WaitUntilReady());
  const Channel before = Called(daemon.Target());
  std::vector<std::unique_ptr<PlainClient>> waiting;
  {
    const NoDescriptors none(daemon);
    for (int i = 0; i < 5; ++i) {
      waiting.push_back(std::make_unique<PlainClient>(ControlPort(daemon)));
    }
    EXPECT_TRUE(Contains(daemon.WaitForErrorLine("control: "), "accept"));
    EXPECT_TRUE(List(before).ok());
    const auto refused = RefusalOf(Call(before, kCreate, CreateRequest("no")));
    EXPECT_EQ(refused.code, grpc::StatusCode::RESOURCE_EXHAUSTED)
        << refused.message;
    EXPECT_EQ(refused.reason, "FD_LIMIT") << refused.message;
  }
  // Each is told the settings of HTTP/2.
  for (const auto& client : waiting) {
    client->Send(FloodFrames(FloodKind::kPing, "/").Beginning());
    EXPECT_NE(client->Receive(), "EOF");
  }
  EXPECT_TRUE(Call(before, kCreate, CreateRequest("web")).ok());
  EXPECT_TRUE(List(Plain(daemon.Target())).ok());
}

TEST_F(ControlConnectionsTest, ConnectionsThatTakeAllLeaveTheControlPlaneIts) {
  LimitDescriptors(200);
  DaemonProcess daemon({"--listen", "tcp:127.0.0.1:0 echo"});
  ASSERT_TRUE(daemon.WaitUntilReady());
  const int64_t before = NumDescriptors(daemon);
  {
    // More than there are descriptors; those beyond wait.
    std::vector<std::unique_ptr<PlainClient>> clients;
    for (int i = 0; i < 180; ++i) {
      clients.push_back(std::make_unique<PlainClient>(daemon.ListenerPort(0)));
    }
    clients[0]->Send("first");
    clients[0]->Expect("first");
    EXPECT_NE(daemon.WaitForErrorLine("Too many open files"), "");
    std::vector<Channel> controls;
    for (int i = 0; i < 12; ++i) controls.push_back(Called(daemon.Target()));
    grpc::Status status;
    for (int i = 0; i < 100 && status.ok(); ++i) {
      status =
          Call(controls[0], kCreate, CreateRequest("l" + std::to_string(i)));
    }
    EXPECT_EQ(RefusalOf(status).reason, "FD_LIMIT");
    for (const Channel& channel : controls) EXPECT_TRUE(List(channel).ok());
    clients[0]->Send("still");
    clients[0]->Expect("still");
  }
  PlainClient later(daemon.ListenerPort(0));
  later.Send("later");
  later.Expect("later");
  EXPECT_TRUE(Await([&] { return NumDescriptors(daemon) <= before + 60; }));
  EXPECT_TRUE(Call(Plain(daemon.Target()), kCreate, CreateRequest("web")).ok());
}

TEST_F(ControlConnectionsTest, ClientsBeyondTheLimitWait) {
  DaemonProcess daemon({"--max-control-connections", "3"});
  ASSERT_TRUE(daemon.WaitUntilReady());
  std::vector<Channel> first;
  for (int i = 0; i < 3; ++i) first.push_back(Called(daemon.Target()));
  std::vector<std::unique_ptr<PlainClient>> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.push_back(std::make_unique<PlainClient>(ControlPort(daemon)));
    waiting[i]->Send(FloodFrames(FloodKind::kPing, "/").Beginning());
  }
  EXPECT_NE(daemon.WaitForErrorLine(
                "the limit of --max-control-connections (3) is reached"),
            "");
  for (const auto& client : waiting) EXPECT_FALSE(client->HasInput());
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = i; j < 3; ++j) EXPECT_FALSE(waiting[j]->HasInput());
    first[i].reset();
    // The one that came first.
    EXPECT_EQ(waiting[i]->Receive().substr(3, 1), "\x04") << i;
  }
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 0);
  const std::string& log = daemon.error_output();
  EXPECT_EQ(log.find("--max-control-connections"),
            log.rfind("--max-control-connections"))
      << log;
}

TEST_F(ControlConnectionsTest, OneTooManyThatSaysNothingEndsTheOldest) {
  DaemonProcess daemon;
  ASSERT_TRUE(daemon.WaitUntilReady());
  const Channel called = Called(daemon.Target());
  std::vector<std::unique_ptr<PlainClient>> silent;
  for (int i = 0; i < 100; ++i) {
    silent.push_back(std::make_unique<PlainClient>(ControlPort(daemon)));
  }
  const Channel another = Called(daemon.Target());
  EXPECT_EQ(Last(silent[0]->ReceiveAll()), "ECONNRESET");
  EXPECT_TRUE(List(called).ok());
  EXPECT_TRUE(List(another).ok());
}

TEST_F(ControlConnectionsTest, WhoSaysNothingHasHalfOfFewPlaces) {
  DaemonProcess daemon({"--max-control-connections", "16"});
  ASSERT_TRUE(daemon.WaitUntilReady());
  const Channel called = Called(daemon.Target());
  std::vector<std::unique_ptr<PlainClient>> silent;
  for (int i = 0; i < 12; ++i) {
    silent.push_back(std::make_unique<PlainClient>(ControlPort(daemon)));
  }
  const Channel another = Called(daemon.Target());
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Last(silent[i]->ReceiveAll()), "ECONNRESET") << i;
  }
  // It was not their time that was up, for there are still the others.
  for (int i = 5; i < 12; ++i) {
    silent[i]->Send(FloodFrames(FloodKind::kPing, "/").Beginning());
    silent[i]->Send(FloodFrames(FloodKind::kPing, "/").Next(1));
    std::string answer;
    while (!Contains(answer, "12345678")) {
      answer += silent[i]->Receive();
      ASSERT_FALSE(Contains(answer, "ECONNRESET")) << i;
      ASSERT_FALSE(Contains(answer, "EOF")) << i;
    }
  }
  EXPECT_TRUE(List(called).ok());
}

// Both waits are those of the limit.
TEST_F(ControlConnectionsTest, WhoSaysNothingIsEndedAndWhoHasTlsIsNot) {
  DaemonProcess daemon(Arguments({"--control", "tcp:127.0.0.1:0", "--control",
                                  "unix:" + folder_.File("control")}));
  ASSERT_TRUE(daemon.WaitUntilReady());
  const Channel idle = Connected(Secure(daemon.Target(), ca_, client_));
  PlainClient tls(ControlPort(daemon));
  tls.Send("\x16\x03\x01");  // The beginning of TLS.
  PlainClient silent(folder_.File("control"));
  const std::string seen = tls.ReceiveAll();
  EXPECT_TRUE(seen == "|EOF" || seen == "|ECONNRESET") << seen;
  EXPECT_TRUE(Contains(silent.ReceiveAll(), "|EOF"));
  EXPECT_EQ(idle->GetState(false), GRPC_CHANNEL_READY);
  EXPECT_TRUE(List(idle).ok());
}

TEST_F(ControlConnectionsTest, ClientsThatComeAndGoLeaveNothing) {
  DaemonProcess daemon;
  ASSERT_TRUE(daemon.WaitUntilReady());
  EXPECT_TRUE(List(Plain(daemon.Target())).ok());
  const Channel stays = Called(daemon.Target());
  const int port = ControlPort(daemon);
  const int64_t before = NumDescriptors(daemon);
  const std::string hello = FloodFrames(FloodKind::kEnd, "/x/Y").Beginning();
  for (int i = 0; i < 1000; ++i) {
    PlainClient client(port);
    switch (i % 5) {
      case 0:
        client.Reset();
        break;
      case 1:
        client.HalfClose();
        break;
      case 2:
        client.Send("PRI * HT");
        break;
      case 3:
        client.Send(hello);
        client.Reset();
        break;
      case 4:
        client.Send(hello);
        client.Receive();
        break;
    }
  }
  EXPECT_TRUE(Await([&] { return NumDescriptors(daemon) <= before; }))
      << NumDescriptors(daemon) << " instead of " << before;
  EXPECT_TRUE(List(stays).ok());
}

TEST_F(ControlConnectionsTest, AThousandCallsMayWait) {
  // They take some 20 MB: it is their number that is to count.
  DaemonProcess daemon({"--max-control-memory", "1GiB"});
  ASSERT_TRUE(daemon.WaitUntilReady());
  PlainClient client(ControlPort(daemon));
  // gRPC begins no unary call before its message is there.
  FloodFrames frames(FloodKind::kOpen, kAttach);
  // Of 15 bytes each.
  client.Send(frames.Beginning() + frames.Next(999 * 15));
  const Channel other = Called(daemon.Target());
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(List(other).ok());
  std::string answer;
  client.Send(FloodFrames(FloodKind::kPing, "").Next(1));
  // Settings, their acknowledgement, and that of the ping.
  while (!Contains(answer, "12345678")) {
    const std::string some = client.Receive();
    ASSERT_TRUE(some != "ECONNRESET" && some != "EOF") << some;
    answer += some;
  }
  daemon.TakeErrors();
  client.Send(frames.Next(15));
  EXPECT_TRUE(Contains(client.ReceiveAll(), "|ECONNRESET"));
  EXPECT_TRUE(Contains(daemon.WaitForErrorLine("OVERLOADED"),
                       "too many calls at a time (1 since the start)"));
  EXPECT_TRUE(List(other).ok());
}

// How many sockets wait for an answer to their SYN to `port`.
int CountConnecting(int port) {
  std::ifstream sockets("/proc/net/tcp");
  char to[16];
  std::snprintf(to, sizeof to, ":%04X 02 ", static_cast<unsigned>(port));
  int count = 0;
  for (std::string line; std::getline(sockets, line);) {
    if (Contains(line, to)) ++count;
  }
  return count;
}

// As a proxy has them whose upstream answers no SYN.
TEST_F(ControlConnectionsTest, DialsThatConnectAreNoCallsThatWait) {
  constexpr int kMany = 1100;  // Calls that wait may be 1000.
  constexpr int kAtOnce = 100;
  // They take some 25 MB: it is their number that is to count.
  DaemonProcess daemon({"--max-control-memory", "1GiB"});
  ASSERT_TRUE(daemon.WaitUntilReady());
  PlainListener upstream(0);
  const PlainClient filler(upstream.port());
  v1::ClientFrame dial;
  auto* inet = dial.mutable_dial()->mutable_where_to_connect()->mutable_inet();
  inet->set_host("127.0.0.1");
  inet->set_port(upstream.port());
  const Channel channel = Connected(Plain(daemon.Target()));
  const auto stub = v1::ConnectionService::NewStub(channel);
  std::vector<std::unique_ptr<SocketCall>> calls;
  for (int i = 1; i <= kMany; ++i) {
    calls.push_back(
        std::make_unique<SocketCall>(*stub, &SocketCall::Stub::Dial));
    ASSERT_TRUE(calls.back()->Send(dial)) << i;
    // Until the loop has come to it, each is a call like any other.
    while (i % kAtOnce == 0 && CountConnecting(upstream.port()) < i) {
      ASSERT_TRUE(List(channel).ok()) << CountConnecting(upstream.port());
    }
  }
  EXPECT_TRUE(List(channel).ok());
}

TEST_F(ControlConnectionsTest, WhoMakesManyListenersIsNoFlood) {
  DaemonProcess daemon(
      {"--max-control-memory", "48MiB", "--audit", "/dev/null"});
  ASSERT_TRUE(daemon.WaitUntilReady());
  const Channel channel = Called(daemon.Target());
  v1::CreateListenerRequest request;
  *request.mutable_spec() = EchoSpec();
  for (int i = 0; i < 16; ++i) {
    (*request.mutable_spec()->mutable_labels())["k" + std::to_string(i)] =
        std::string(250, 'v');
  }
  const std::string bytes = request.SerializeAsString();
  // Together some 60 MB, without their events.
  for (int i = 0; i < 4000; ++i) {
    const grpc::Status status = Call(channel, kCreate, bytes);
    ASSERT_TRUE(status.ok()) << i << ": " << status.error_message();
  }
}

TEST_F(ControlConnectionsTest, ConnectionsThatCloseMakeNoFloodOfOthers) {
  DaemonProcess daemon(
      {"--max-control-memory", "24MiB", "--listen", "tcp:127.0.0.1:0 echo"});
  ASSERT_TRUE(daemon.WaitUntilReady());
  const Channel channel = Called(daemon.Target());
  // One that is busier than most: calls of it wait.
  PlainClient waiting(ControlPort(daemon));
  FloodFrames frames(FloodKind::kOpen, kAttach);
  waiting.Send(frames.Beginning() + frames.Next(40 * 15));
  {
    std::vector<std::unique_ptr<PlainClient>> clients;
    for (int i = 0; i < 300; ++i) {
      clients.push_back(std::make_unique<PlainClient>(daemon.ListenerPort(0)));
    }
    clients.back()->Send("x");
    clients.back()->Expect("x");
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(List(channel).ok());
  }
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(List(channel).ok());
  waiting.Send(FloodFrames(FloodKind::kPing, "").Next(1));
  std::string answer;
  while (!Contains(answer, "12345678")) {
    answer += waiting.Receive();
    ASSERT_FALSE(Contains(answer, "ECONNRESET"));
    ASSERT_FALSE(Contains(answer, "EOF"));
  }
}

TEST_F(ControlConnectionsTest, MoreStreamsMayCarryConnections) {
  DaemonProcess daemon;
  ASSERT_TRUE(daemon.WaitUntilReady());
  const Channel channel = Plain(daemon.Target());
  const auto connections = v1::ConnectionService::NewStub(channel);
  PlainListener upstream;
  v1::ClientFrame dial;
  auto* inet = dial.mutable_dial()->mutable_where_to_connect()->mutable_inet();
  inet->set_host("127.0.0.1");
  inet->set_port(upstream.port());
  struct Stream {
    std::unique_ptr<SocketCall> call;
    std::unique_ptr<PlainClient> peer;
  };
  std::vector<Stream> streams(1200);
  for (Stream& stream : streams) {
    stream.call =
        std::make_unique<SocketCall>(*connections, &SocketCall::Stub::Dial);
    ASSERT_TRUE(stream.call->Send(dial));
    stream.call->ReadOpened();
    stream.peer = std::make_unique<PlainClient>(upstream.Accept());
  }
  for (Stream& stream : streams) {
    ASSERT_TRUE(stream.call->SendData("to"));
    stream.peer->Expect("to");
    stream.peer->Send("fro");
    ASSERT_EQ(stream.call->ReadData(3), "fro");
  }
  EXPECT_TRUE(List(channel).ok());
}

}  // namespace
}  // namespace portreeve::testing
