// What streams that carry connections may send by the control plane of a real
// daemon, and what may not be had by them.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "portreeve/v1/connection.grpc.pb.h"
#include "tests/integration/control_fixture.h"
#include "tests/server/plain_socket.h"
#include "tests/server/stream_client.h"

namespace portreeve::testing {
namespace {

class ControlStreamsTest : public ControlFixture {
 protected:
  // A connection that the daemon dials, and the other end of it.
  struct Dialled {
    std::unique_ptr<SocketCall> call;
    std::unique_ptr<PlainClient> peer;
  };
  Dialled Dial(v1::ConnectionService::Stub& stub) {
    v1::ClientFrame frame;
    auto* inet =
        frame.mutable_dial()->mutable_where_to_connect()->mutable_inet();
    inet->set_host("127.0.0.1");
    inet->set_port(upstream_.port());
    Dialled dialled;
    dialled.call = std::make_unique<SocketCall>(stub, &SocketCall::Stub::Dial);
    EXPECT_TRUE(dialled.call->Send(frame));
    dialled.call->ReadOpened();
    dialled.peer = std::make_unique<PlainClient>(upstream_.Accept());
    return dialled;
  }

  PlainListener upstream_;
};

// Far more than anybody may send that no message explains.
TEST_F(ControlStreamsTest, OneMayCarryAsMuchAsItsPeerTakes) {
  DaemonProcess daemon;
  ASSERT_TRUE(daemon.WaitUntilReady());
  const Channel channel = Called(daemon.Target());
  const auto stub = v1::ConnectionService::NewStub(channel);
  const Dialled dialled = Dial(*stub);
  const std::string data(64 << 10, 'x');
  constexpr int kCount = 512;
  std::thread reads([&] {
    for (int i = 0; i < kCount; ++i) dialled.peer->Expect(data);
  });
  for (int i = 0; i < kCount; ++i) {
    if (!dialled.call->SendData(data)) break;
  }
  dialled.call->Send(DoneFrame());
  reads.join();
  EXPECT_EQ(dialled.call->Rest(), "closed HANDLER_DONE|OK");
  EXPECT_TRUE(List(channel).ok());
}

// Nor do they make room for calls that wait.
TEST_F(ControlStreamsTest, ThoseThatHaveEndedCarryNothing) {
  DaemonProcess daemon;
  ASSERT_TRUE(daemon.WaitUntilReady());
  const auto stub = v1::ConnectionService::NewStub(Called(daemon.Target()));
  for (int i = 0; i < 100; ++i) {
    const Dialled dialled = Dial(*stub);
    dialled.call->Send(DoneFrame());
    EXPECT_EQ(dialled.call->Rest(), "closed HANDLER_DONE|OK");
  }
  std::vector<std::unique_ptr<SocketCall>> waiting;
  for (int i = 0; i < 1001; ++i) {
    waiting.push_back(
        std::make_unique<SocketCall>(*stub, &SocketCall::Stub::Attach));
  }
  EXPECT_TRUE(Contains(daemon.WaitForErrorLine("OVERLOADED"),
                       "too many calls at a time"));
}

}  // namespace
}  // namespace portreeve::testing
