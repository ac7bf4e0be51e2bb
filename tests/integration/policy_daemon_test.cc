// A policy file in force: what listeners, forward handlers and Dial may not.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/integration/daemon_client.h"
#include "tests/server/plain_socket.h"
#include "tests/server/service_fixture.h"
#include "tests/server/stream_client.h"
#include "tests/testing/connected_channel.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

constexpr char kPolicy[] = R"pb(
  listen { cidrs: "127.0.0.0/8" }
  dial { deny { cidrs: "127.0.0.0/8" cidrs: "::1/128" } }
)pb";

// Loopback may be listened on, and not be connected to.
class PolicyDaemonTest : public ::testing::Test {
 protected:
  PolicyDaemonTest() {
    const std::string file =
        std::filesystem::path(::testing::TempDir()) / "policy.textproto";
    std::ofstream(file) << kPolicy;
    const std::vector<std::string> arguments = {"--policy", file};
    daemon_ = std::make_unique<DaemonProcess>(arguments);
    EXPECT_TRUE(daemon_->WaitUntilReady());
    const auto channel = Connected(grpc::CreateChannel(
        daemon_->Target(), grpc::InsecureChannelCredentials()));
    listeners_ = v1::ListenerService::NewStub(channel);
    connections_ = v1::ConnectionService::NewStub(channel);
    control_ = std::make_unique<DaemonClient>(daemon_->Target());
  }

  v1::WhereToConnect To(const std::string& host) const {
    v1::WhereToConnect where;
    where.mutable_inet()->set_host(host);
    where.mutable_inet()->set_port(target_.port());
    return where;
  }

  // What Dial says of it: "OK", or code, reason and field.
  std::string Dial(const std::string& host) {
    SocketCall call(*connections_, &SocketCall::Stub::Dial);
    v1::ClientFrame frame;
    *frame.mutable_dial()->mutable_where_to_connect() = To(host);
    call.Send(frame);
    return call.Rest();
  }

  grpc::Status CreateForward(const std::string& host, v1::Listener& listener) {
    v1::CreateListenerRequest request;
    auto& spec = *request.mutable_spec();
    spec.mutable_where_to_listen()->mutable_inet()->set_address("127.0.0.1");
    *spec.mutable_handler()->mutable_forward()->mutable_upstream() = To(host);
    grpc::ClientContext context;
    return listeners_->CreateListener(&context, request, &listener);
  }

  const PlainListener target_;
  std::unique_ptr<DaemonProcess> daemon_;
  std::unique_ptr<v1::ListenerService::Stub> listeners_;
  std::unique_ptr<v1::ConnectionService::Stub> connections_;
  std::unique_ptr<DaemonClient> control_;
};

TEST_F(PolicyDaemonTest, DialIsRefusedByAddressAndByName) {
  const std::string refused = "7 / OUTSIDE_POLICY";
  for (const char* host : {"127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0",
                           "::", "localhost", "LOCALHOST.", "any.localhost"}) {
    EXPECT_EQ(Dial(host).substr(0, refused.size()), refused) << host;
  }
  EXPECT_FALSE(target_.HasClient());
}

TEST_F(PolicyDaemonTest, AForwardHandlerIsRefusedByItsAddress) {
  v1::Listener listener;
  for (const char* host : {"127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0"}) {
    EXPECT_EQ(Shown(CreateForward(host, listener)),
              "7 / OUTSIDE_POLICY / spec.handler.forward.upstream.inet.host")
        << host;
  }
}

TEST_F(PolicyDaemonTest, AForwardHandlerIsRefusedByWhatItsNameResolvesTo) {
  v1::Listener listener;
  ASSERT_TRUE(CreateForward("localhost", listener).ok());
  DaemonClient::Watch watch(*control_);
  PlainClient client(listener.status().listening_on().inet().port());
  EXPECT_EQ(client.ReceiveAll(), "|ECONNRESET");
  v1::Event event;
  while (watch.Next(event) && !event.has_connection_closed()) {
  }
  EXPECT_EQ(event.connection_closed().connection().close_reason(),
            v1::CLOSE_REASON_UPSTREAM_UNREACHABLE);
  EXPECT_FALSE(target_.HasClient());
}

TEST_F(PolicyDaemonTest, AListenerIsRefusedOutsideItsNetworks) {
  v1::CreateListenerRequest request;
  auto& spec = *request.mutable_spec();
  spec.mutable_handler()->mutable_echo();
  for (const char* address : {"", "*", "0.0.0.0", "::", "::1"}) {
    auto* inet = spec.mutable_where_to_listen()->mutable_inet();
    inet->set_address(address);
    v1::Listener listener;
    grpc::ClientContext context;
    EXPECT_EQ(Shown(listeners_->CreateListener(&context, request, &listener)),
              "7 / OUTSIDE_POLICY / spec.where_to_listen.inet.address")
        << address;
  }
}

TEST_F(PolicyDaemonTest, AnUpdateIsRefusedLikeACreate) {
  v1::Listener listener;
  ASSERT_TRUE(control_->CreateEcho(listener).ok());
  v1::UpdateListenerRequest request;
  request.mutable_listener()->set_name(listener.name());
  *request.mutable_listener()
       ->mutable_spec()
       ->mutable_handler()
       ->mutable_forward()
       ->mutable_upstream() = To("127.0.0.1");
  request.mutable_update_mask()->add_paths("spec.handler");
  grpc::ClientContext context;
  v1::Listener updated;
  EXPECT_EQ(
      Shown(listeners_->UpdateListener(&context, request, &updated)),
      "7 / OUTSIDE_POLICY / listener.spec.handler.forward.upstream.inet.host");
  EXPECT_TRUE(control_->List().listeners(0).spec().handler().has_echo());
}

}  // namespace
}  // namespace portreeve::testing
