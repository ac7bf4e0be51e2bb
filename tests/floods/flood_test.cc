// Floods of HTTP/2 against a real daemon: they take bounded memory for a
// while, and nothing from anybody else.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "portreeve/v1/connection.grpc.pb.h"
#include "portreeve/v1/handler.grpc.pb.h"
#include "portreeve/v1/listener.grpc.pb.h"
#include "tests/floods/flooder.h"
#include "tests/integration/tls_fixture.h"
#include "tests/server/plain_socket.h"
#include "tests/server/service_fixture.h"
#include "tests/server/stream_client.h"
#include "tests/testing/connected_channel.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

// For how long each flood goes on.
constexpr std::chrono::milliseconds kFloodTime{2000};
// What the contract promises.
constexpr std::chrono::seconds kMostForAnAnswer{1};
constexpr int64_t kMostGrowth = 256 << 20;
// What the heap may keep at the end, and how long it may take to get there.
constexpr int64_t kMostKept = 64 << 20;
constexpr std::chrono::seconds kMostForGivingBack{20};

struct Flood {
  const char* name;
  FloodKind kind;
  const char* path;
  bool carries = false;  // A connection beside it, that the client has dialled.
};
void PrintTo(const Flood& flood, std::ostream* out) { *out << flood.name; }

constexpr char kUnknown[] = "/x/Y";
constexpr char kCreate[] = "/portreeve.v1.ListenerService/CreateListener";
constexpr char kAttach[] = "/portreeve.v1.ConnectionService/Attach";
constexpr char kHealth[] = "/grpc.health.v1.Health/Check";
constexpr char kWatchHealth[] = "/grpc.health.v1.Health/Watch";
constexpr char kReflection[] =
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
constexpr Flood kFloods[] = {
    {"Open", FloodKind::kOpen, kUnknown},
    {"OpenCreate", FloodKind::kOpen, kCreate},
    {"OpenCreateAndCarry", FloodKind::kOpen, kCreate, true},
    {"OpenAttach", FloodKind::kOpen, kAttach},
    {"OpenReflection", FloodKind::kOpen, kReflection},
    {"End", FloodKind::kEnd, kUnknown},
    {"EndCreate", FloodKind::kEnd, kCreate},
    {"EndAttach", FloodKind::kEnd, kAttach},
    {"EndHealth", FloodKind::kEnd, kHealth},
    {"EndWatchHealth", FloodKind::kEnd, kWatchHealth},
    {"EndReflection", FloodKind::kEnd, kReflection},
    {"HeadersOnly", FloodKind::kHeadersOnly, kUnknown},
    {"Reset", FloodKind::kReset, kUnknown},
    {"ResetCreate", FloodKind::kReset, kCreate},
    {"ResetReflection", FloodKind::kReset, kReflection},
    {"Continuation", FloodKind::kContinuation, kUnknown},
    {"Ping", FloodKind::kPing, kUnknown},
    {"Settings", FloodKind::kSettings, kUnknown},
    {"EmptyData", FloodKind::kEmptyData, kCreate},
    {"WindowUpdate", FloodKind::kWindowUpdate, kUnknown},
    {"Priority", FloodKind::kPriority, kUnknown},
};

enum class Transport { kPlain, kTls, kUnix };
constexpr const char* kTransports[] = {"Plain", "Tls", "Unix"};

class FloodTest
    : public TlsFixture,
      public ::testing::WithParamInterface<std::tuple<Flood, int, Transport>> {
 protected:
  void SetUp() override {
    StartDaemon();
    ASSERT_TRUE(daemon_->WaitUntilReady());
    ASSERT_NO_FATAL_FAILURE(Serve());
  }

  // What the daemon has said is shown where something went wrong.
  void TearDown() override {
    if (!HasFailure()) return;
    daemon_->Signal(SIGKILL);
    daemon_->WaitForExit();
    std::istringstream lines(daemon_->error_output());
    for (std::string line; std::getline(lines, line);) {
      // Without those of the audit.
      if (line.front() != '{') std::printf("%s\n", line.c_str());
    }
  }

  static Transport transport() { return std::get<2>(GetParam()); }

  void StartDaemon() {
    std::vector<std::string> arguments = {"--listen", "tcp:127.0.0.1:0 echo"};
    if (transport() == Transport::kTls) {
      arguments = Arguments(arguments);
      arguments.insert(
          arguments.end(),
          {"--policy",
           Write("policy",
                 R"(identities { name: "admin" role: ROLE_ADMIN })")});
      const Certificate stranger = ca_.ForClient("stranger");
      Write("stranger.cert", stranger.certificate);
      Write("stranger.key", stranger.key);
    } else if (transport() == Transport::kUnix) {
      arguments.insert(arguments.end(),
                       {"--control", "unix:" + folder_.File("control")});
    }
    daemon_ = std::make_unique<DaemonProcess>(arguments);
  }

  // A connection that the daemon serves, and one that this test does.
  void Serve() {
    channel_ = Connected(transport() == Transport::kTls
                             ? Secure(daemon_->Target(), ca_, admin_)
                             : Plain(daemon_->Target()));
    listeners_ = v1::ListenerService::NewStub(channel_);
    connections_ = v1::ConnectionService::NewStub(channel_);
    handlers_ = v1::HandlerService::NewStub(channel_);
    v1::CreateListenerRequest request;
    request.set_listener_id("remote");
    *request.mutable_spec() = RemoteSpec();
    grpc::ClientContext context;
    v1::Listener listener;
    ASSERT_TRUE(listeners_->CreateListener(&context, request, &listener).ok());
    worker_ = std::make_unique<WorkerCall>(*handlers_, "listeners/remote");
    remote_ = std::make_unique<PlainClient>(
        listener.status().listening_on().inet().port());
    attached_ =
        std::make_unique<SocketCall>(*connections_, worker_->ReadOffered());
    attached_->ReadOpened();
    echo_ = std::make_unique<PlainClient>(daemon_->ListenerPort(0));
    ASSERT_NO_FATAL_FAILURE(ExpectServed());
  }

  // All that others have goes on.
  void ExpectServed() {
    const auto start = std::chrono::steady_clock::now();
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kMostForAnAnswer);
    v1::ListListenersResponse response;
    const auto status = listeners_->ListListeners(&context, {}, &response);
    slowest_ = std::max(slowest_, std::chrono::steady_clock::now() - start);
    ASSERT_TRUE(status.ok())
        << status.error_message() << " after " << num_served_ << " answers";
    ++num_served_;
    const std::string text = "number " + std::to_string(num_served_);
    echo_->Send(text);
    ASSERT_NO_FATAL_FAILURE(echo_->Expect(text));
    remote_->Send(text);
    ASSERT_EQ(attached_->ReadData(text.size()), text);
    ASSERT_TRUE(attached_->SendData(text));
    ASSERT_NO_FATAL_FAILURE(remote_->Expect(text));
  }

  Flooder::Options Attack() const {
    const auto& [flood, num_connections, transport] = GetParam();
    Flooder::Options options;
    options.kind = flood.kind;
    options.path = flood.path;
    options.num_connections = num_connections;
    if (flood.carries) options.dial = Dial();
    options.time = kFloodTime;
    if (transport == Transport::kUnix) {
      options.unix_path = folder_.File("control");
      return options;
    }
    const std::string target = daemon_->Target();
    options.port = std::stoi(target.substr(target.rfind(':') + 1));
    if (transport == Transport::kPlain) return options;
    options.reads = true;
    options.certificate = folder_.File("stranger.cert");
    options.key = folder_.File("stranger.key");
    return options;
  }

  // To the daemon's own listener, where that is allowed.
  std::string Dial() const {
    v1::ClientFrame frame;
    auto* inet =
        frame.mutable_dial()->mutable_where_to_connect()->mutable_inet();
    inet->set_host("127.0.0.1");
    inet->set_port(daemon_->ListenerPort(0));
    return frame.SerializeAsString();
  }

  // In bytes: "VmRSS" or "VmHWM".
  int64_t Memory(const std::string& name) const {
    std::ifstream file("/proc/" + std::to_string(daemon_->pid()) + "/status");
    for (std::string line; std::getline(file, line);) {
      if (line.rfind(name + ":", 0) != 0) continue;
      return std::stoll(line.substr(name.size() + 1)) * 1024;
    }
    ADD_FAILURE() << "no " << name;
    return 0;
  }
  int64_t NumDescriptors() const {
    const std::filesystem::directory_iterator entries(
        "/proc/" + std::to_string(daemon_->pid()) + "/fd");
    return std::distance(begin(entries), end(entries));
  }

  // Whether `condition` comes true in time, while others are served.
  template <typename Condition>
  bool ServeUntil(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + kMostForGivingBack;
    while (!condition()) {
      if (HasFatalFailure() || std::chrono::steady_clock::now() > end) {
        return false;
      }
      ExpectServed();
    }
    return true;
  }

  const Certificate admin_ = ca_.ForClient("admin");
  std::unique_ptr<DaemonProcess> daemon_;
  Channel channel_;
  std::unique_ptr<v1::ListenerService::Stub> listeners_;
  std::unique_ptr<v1::ConnectionService::Stub> connections_;
  std::unique_ptr<v1::HandlerService::Stub> handlers_;
  std::unique_ptr<WorkerCall> worker_;
  std::unique_ptr<SocketCall> attached_;
  std::unique_ptr<PlainClient> remote_;
  std::unique_ptr<PlainClient> echo_;
  int num_served_ = 0;
  std::chrono::steady_clock::duration slowest_{0};
};

TEST_P(FloodTest, TakesNothingFromOthers) {
  const int64_t descriptors = NumDescriptors();
  const int64_t memory = Memory("VmRSS");
  {
    const Flooder flooder(Attack());
    while (flooder.running()) {
      ASSERT_NO_FATAL_FAILURE(ExpectServed());
      daemon_->TakeErrors();
    }
    std::printf("%lld MB sent, %d of %d ended\n",
                static_cast<long long>(flooder.bytes_sent() >> 20),
                flooder.num_ended(), std::get<1>(GetParam()));
  }
  EXPECT_TRUE(ServeUntil([&] { return NumDescriptors() <= descriptors; }))
      << NumDescriptors() << " descriptors instead of " << descriptors;
  EXPECT_TRUE(ServeUntil([&] { return Memory("VmRSS") <= memory + kMostKept; }))
      << (Memory("VmRSS") >> 20) << " MB instead of " << (memory >> 20);
  const int64_t growth = Memory("VmHWM") - memory;
  EXPECT_LE(growth, kMostGrowth);
  std::printf(
      "%lld MB more, %d answers, the slowest after %lld ms\n",
      static_cast<long long>(growth >> 20), num_served_,
      static_cast<long long>(
          std::chrono::ceil<std::chrono::milliseconds>(slowest_).count()));
}

std::string NameOf(const ::testing::TestParamInfo<FloodTest::ParamType>& info) {
  const auto& [flood, num_connections, transport] = info.param;
  return std::string(flood.name) + kTransports[static_cast<int>(transport)] +
         std::to_string(num_connections);
}

INSTANTIATE_TEST_SUITE_P(
    , FloodTest,
    ::testing::Combine(::testing::ValuesIn(kFloods), ::testing::Values(1, 10),
                       ::testing::Values(Transport::kPlain, Transport::kTls,
                                         Transport::kUnix)),
    NameOf);

}  // namespace
}  // namespace portreeve::testing
