// The clients of the control plane of a real daemon: how many get in, who they
// are, and what becomes of those that misbehave.
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "portreeve/v1/connection.grpc.pb.h"
#include "portreeve/v1/listener.grpc.pb.h"
#include "tests/floods/flood_frames.h"
#include "tests/integration/daemon_client.h"
#include "tests/integration/tls_fixture.h"
#include "tests/server/plain_socket.h"
#include "tests/server/service_fixture.h"
#include "tests/server/stream_client.h"
#include "tests/testing/connected_channel.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

constexpr char kCreate[] = "/portreeve.v1.ListenerService/CreateListener";
constexpr char kAttach[] = "/portreeve.v1.ConnectionService/Attach";
constexpr std::chrono::seconds kDeadline{30};

int ControlPort(const DaemonProcess& daemon) {
  const std::string target = daemon.Target();
  return std::stoi(target.substr(target.rfind(':') + 1));
}

int64_t NumDescriptors(const DaemonProcess& daemon) {
  const std::filesystem::directory_iterator entries(
      "/proc/" + std::to_string(daemon.pid()) + "/fd");
  return std::distance(begin(entries), end(entries));
}

// False where that does not come true.
template <typename Condition>
bool Await(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + kDeadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
  }
  return true;
}

// The number of descriptors that a running daemon may have is as low as that of
// those that it has, while this lives.
class NoDescriptors {
 public:
  explicit NoDescriptors(const DaemonProcess& daemon) : pid_(daemon.pid()) {
    prlimit(pid_, RLIMIT_NOFILE, nullptr, &before_);
    rlimit none = before_;
    // Below the numbers of all that are free.
    none.rlim_cur = 0;
    EXPECT_EQ(prlimit(pid_, RLIMIT_NOFILE, &none, nullptr), 0);
  }
  ~NoDescriptors() {
    EXPECT_EQ(prlimit(pid_, RLIMIT_NOFILE, &before_, nullptr), 0);
  }

 private:
  const pid_t pid_;
  rlimit before_{};
};

class ControlConnectionsTest : public TlsFixture {
 protected:
  // A connection of its own that has made a call.
  static Channel Called(const std::string& target) {
    Channel channel = Plain(target);
    const auto status = List(channel);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return channel;
  }

  static std::string CreateRequest(const std::string& listener,
                                   const std::string& request_id = "") {
    v1::CreateListenerRequest request;
    *request.mutable_spec() = EchoSpec();
    request.set_listener_id(listener);
    request.set_request_id(request_id);
    return request.SerializeAsString();
  }

  // Starts daemons under `limit` descriptors from here on.
  void LimitDescriptors(int limit) {
    const std::string script = folder_.File("limited");
    std::ofstream(script) << "#!/bin/sh\nulimit -n " << limit
                          << "\nexec server/portreeved \"$@\"\n";
    chmod(script.c_str(), 0700);
    setenv("PORTREEVED_BINARY", script.c_str(), 1);
  }
  ~ControlConnectionsTest() override { unsetenv("PORTREEVED_BINARY"); }

  std::vector<std::string> AuditOf(const std::string& file) const {
    std::vector<std::string> lines;
    std::ifstream audit(file);
    for (std::string line; std::getline(audit, line);) lines.push_back(line);
    return lines;
  }
};

// After what was received.
std::string Last(const std::string& received) {
  return received.substr(received.rfind('|') + 1);
}

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

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

TEST_F(ControlConnectionsTest, ClientsHaveNames) {
  const std::string file = folder_.File("audit");
  const std::string control = "unix:" + folder_.File("control");
  DaemonProcess daemon(
      {"--control", "tcp:127.0.0.1:0", "--control", control, "--audit", file});
  ASSERT_TRUE(daemon.WaitUntilReady());
  ASSERT_TRUE(Call(Plain(daemon.Target()), kCreate, CreateRequest("a")).ok());
  ASSERT_TRUE(Call(Plain(control), kCreate, CreateRequest("b", "same")).ok());
  // Another connection of the same user.
  ASSERT_TRUE(Call(Plain(control), kCreate, CreateRequest("b", "same")).ok());
  // Somebody else.
  EXPECT_EQ(RefusalOf(Call(Plain(daemon.Target()), kCreate,
                           CreateRequest("b", "same")))
                .code,
            grpc::StatusCode::ALREADY_EXISTS);
  ASSERT_TRUE(Await([&] { return AuditOf(file).size() >= 4; }));
  const auto lines = AuditOf(file);
  EXPECT_TRUE(Contains(lines[0], "\"who\":\"ipv4:127.0.0.1:")) << lines[0];
  const passwd* const user = getpwuid(getuid());
  const std::string who =
      "\"who\":\"unix:uid=" + std::to_string(getuid()) +
      (user == nullptr ? "" : "(" + std::string(user->pw_name) + ")") + "\"";
  EXPECT_TRUE(Contains(lines[1], who)) << lines[1];
  EXPECT_TRUE(Contains(lines[2], who)) << lines[2];
}

TEST_F(ControlConnectionsTest, WhoComesByTlsHasTheRoleOfTheCertificate) {
  const std::string file = folder_.File("audit");
  const std::string control = "unix:" + folder_.File("control");
  const std::string policy = Write("policy", R"(
      identities { name: "viewer" role: ROLE_VIEWER })");
  DaemonProcess daemon(
      Arguments({"--control", "tcp:127.0.0.1:0", "--control", control,
                 "--audit", file, "--policy", policy}));
  ASSERT_TRUE(daemon.WaitUntilReady());
  const Channel viewer = Secure(daemon.Target(), ca_, ca_.ForClient("viewer"));
  EXPECT_TRUE(List(viewer).ok());
  EXPECT_EQ(RefusalOf(Call(viewer, kCreate, CreateRequest("a"))).reason,
            "ROLE_REQUIRED");
  const Channel stranger = Secure(daemon.Target(), ca_, client_);
  EXPECT_EQ(RefusalOf(List(stranger)).reason, "ROLE_REQUIRED");
  EXPECT_EQ(List(Plain(daemon.Target())).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(Call(Plain(control), kCreate, CreateRequest("b")).ok());
  ASSERT_TRUE(Await([&] { return AuditOf(file).size() >= 2; }));
  const auto lines = AuditOf(file);
  EXPECT_TRUE(Contains(lines[0], "\"who\":\"viewer\"")) << lines[0];
  EXPECT_TRUE(Contains(lines[1], "\"who\":\"unix:uid=")) << lines[1];
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

TEST_F(ControlConnectionsTest, GoesOnWhileConnectionsDrain) {
  const std::string path = folder_.File("control");
  DaemonProcess daemon({"--drain", "1h", "--control", "tcp:127.0.0.1:0",
                        "--control", "unix:" + path, "--listen",
                        "tcp:127.0.0.1:0 echo"});
  ASSERT_TRUE(daemon.WaitUntilReady());
  PlainClient client(daemon.ListenerPort(0));
  client.Send("hello");
  client.Expect("hello");
  DaemonClient control(daemon.Target());
  daemon.Signal(SIGTERM);
  control.WaitUntilNotServing();
  // Who comes now, too.
  EXPECT_TRUE(List(Plain(daemon.Target())).ok());
  EXPECT_TRUE(List(Plain("unix:" + path)).ok());
  const int port = ControlPort(daemon);
  client.HalfClose();
  EXPECT_EQ(client.ReceiveAll(), "|EOF");
  EXPECT_EQ(daemon.WaitForExit(), 0);
  EXPECT_FALSE(std::filesystem::exists(path));
  DaemonProcess next({"--control", "tcp:127.0.0.1:" + std::to_string(port)});
  EXPECT_TRUE(next.WaitUntilReady());
}

TEST_F(ControlConnectionsTest, EndsWhileClientsConnect) {
  for (int round = 0; round < 5; ++round) {
    DaemonProcess daemon({"--drain", "0s"});
    ASSERT_TRUE(daemon.WaitUntilReady());
    std::vector<std::unique_ptr<PlainClient>> clients;
    for (int i = 0; i < 50; ++i) {
      clients.push_back(std::make_unique<PlainClient>(ControlPort(daemon)));
      if (i % 2 == 0) {
        clients.back()->Send(
            FloodFrames(FloodKind::kOpen, kCreate).Beginning());
      }
      if (i == 10 * round) break;
    }
    // They have connected, and nobody may have seen them yet.
    daemon.Signal(SIGTERM);
    EXPECT_EQ(daemon.WaitForExit(), 0) << daemon.error_output();
    for (const auto& client : clients) (void)client->ReceiveAll();
  }
}

TEST_F(ControlConnectionsTest, AUnixPathBelongsToOneDaemon) {
  const std::string control = "unix:" + folder_.File("control");
  {
    DaemonProcess daemon({"--control", control});
    ASSERT_TRUE(daemon.WaitUntilReady());
    DaemonProcess second({"--control", control});
    EXPECT_FALSE(second.WaitUntilReady());
    EXPECT_EQ(second.WaitForExit(), 1);
    EXPECT_TRUE(Contains(second.error_output(), "--control"))
        << second.error_output();
    EXPECT_TRUE(Contains(second.error_output(), "in use"))
        << second.error_output();
    EXPECT_TRUE(List(Plain(control)).ok());
  }
  // It was killed, and has left its file.
  EXPECT_TRUE(std::filesystem::exists(folder_.File("control")));
  DaemonProcess third({"--control", control});
  ASSERT_TRUE(third.WaitUntilReady());
  EXPECT_TRUE(List(Plain(control)).ok());
}

TEST_F(ControlConnectionsTest, TheAddressOfAllTakesIpv4Too) {
  DaemonProcess daemon({"--control", "tcp:[::]:0", "--insecure"});
  ASSERT_TRUE(daemon.WaitUntilReady());
  const std::string port = std::to_string(ControlPort(daemon));
  EXPECT_TRUE(List(Plain("127.0.0.1:" + port)).ok());
  EXPECT_TRUE(List(Plain("[::1]:" + port)).ok());
}

TEST_F(ControlConnectionsTest, MethodsThatNobodyHasAreRefused) {
  DaemonProcess daemon;
  ASSERT_TRUE(daemon.WaitUntilReady());
  const Channel channel = Plain(daemon.Target());
  for (const char* method :
       {"/x/Y", "/portreeve.v1.ListenerService/Frobnicate", "/x"}) {
    EXPECT_EQ(Call(channel, method).error_code(),
              grpc::StatusCode::UNIMPLEMENTED)
        << method;
  }
  EXPECT_TRUE(Call(channel, "/grpc.health.v1.Health/Check").ok());
  // list_services: "".
  const std::string list_services("\x3a\0", 2);
  EXPECT_TRUE(Call(channel,
                   "/grpc.reflection.v1alpha.ServerReflection/"
                   "ServerReflectionInfo",
                   list_services)
                  .ok());
}

TEST_F(ControlConnectionsTest, AThousandCallsMayWait) {
  DaemonProcess daemon;
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
    answer += client.Receive();
    ASSERT_FALSE(Contains(answer, "ECONNRESET"));
  }
  daemon.TakeErrors();
  client.Send(frames.Next(15));
  EXPECT_TRUE(Contains(client.ReceiveAll(), "|ECONNRESET"));
  EXPECT_TRUE(Contains(daemon.WaitForErrorLine("OVERLOADED"),
                       "too many calls at a time (1 since the start)"));
  EXPECT_TRUE(List(other).ok());
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
