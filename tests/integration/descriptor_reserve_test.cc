// Whatever clients have made a daemon open, others get in to end it.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "portreeve/v1/connection.grpc.pb.h"
#include "server/control/descriptor_shares.h"
#include "tests/integration/control_fixture.h"
#include "tests/server/plain_socket.h"
#include "tests/server/stream_client.h"
#include "tests/testing/connected_channel.h"

namespace portreeve::testing {
namespace {

// Of 200 descriptors, the control plane has those of 12 clients.
class DescriptorReserveTest : public ControlFixture {
 protected:
  static constexpr int kLimit = 200;
  static constexpr int kClients = 12;

  DescriptorReserveTest() { LimitDescriptors(kLimit); }

  // All that may come do, beside the one that is there.
  static void ExpectOthersGetIn(const DaemonProcess& daemon) {
    std::vector<Channel> others;
    for (int i = 1; i < kClients && !HasFailure(); ++i) {
      others.push_back(Called(daemon.Target()));
    }
  }
};

TEST_F(DescriptorReserveTest, ListenersLeaveItAlone) {
  DaemonProcess daemon;
  ASSERT_TRUE(daemon.WaitUntilReady());
  const Channel channel = Called(daemon.Target());
  grpc::Status status;
  for (int i = 0; i < 200 && status.ok(); ++i) {
    status = Call(channel, kCreate, CreateRequest("l" + std::to_string(i)));
  }
  EXPECT_EQ(RefusalOf(status).reason, "FD_LIMIT");
  ExpectOthersGetIn(daemon);
}

TEST_F(DescriptorReserveTest, DialledConnectionsLeaveItAlone) {
  DaemonProcess daemon({"--loops", "2"});
  ASSERT_TRUE(daemon.WaitUntilReady());
  const auto stub =
      v1::ConnectionService::NewStub(Connected(Plain(daemon.Target())));
  PlainListener upstream(200);
  v1::ClientFrame dial;
  auto* inet = dial.mutable_dial()->mutable_where_to_connect()->mutable_inet();
  inet->set_host("127.0.0.1");
  inet->set_port(upstream.port());
  std::vector<std::unique_ptr<SocketCall>> calls;
  const int most = server::DescriptorShares::Of(kLimit, 1000, 2).connections;
  ASSERT_EQ(most, 126);
  for (int i = 0; i < most; ++i) {
    calls.push_back(
        std::make_unique<SocketCall>(*stub, &SocketCall::Stub::Dial));
    ASSERT_TRUE(calls.back()->Send(dial));
    calls.back()->ReadOpened();
  }
  SocketCall one_more(*stub, &SocketCall::Stub::Dial);
  one_more.Send(dial);
  EXPECT_TRUE(Contains(one_more.Rest(), "FD_LIMIT"));
  ExpectOthersGetIn(daemon);
}

}  // namespace
}  // namespace portreeve::testing
