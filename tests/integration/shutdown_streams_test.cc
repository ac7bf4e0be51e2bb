// How portreeved ends with live streams: Attach, Dial, Handle and watches.
#include <gtest/gtest.h>
#include <signal.h>

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

// A daemon with a remote listener, a worker, one attached connection, one
// dialled connection, and a watch.
class ShutdownStreamsTest : public ::testing::Test {
 protected:
  void Start(const std::string& drain) {
    const std::vector<std::string> arguments = {"--drain", drain};
    daemon_ = std::make_unique<DaemonProcess>(arguments);
    ASSERT_TRUE(daemon_->WaitUntilReady());
    // Its windows do not grow.
    grpc::ChannelArguments channel;
    channel.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    channel_ = Connected(grpc::CreateCustomChannel(
        daemon_->Target(), grpc::InsecureChannelCredentials(), channel));
    listeners_ = v1::ListenerService::NewStub(channel_);
    connections_ = v1::ConnectionService::NewStub(channel_);
    handlers_ = v1::HandlerService::NewStub(channel_);
    control_ = std::make_unique<DaemonClient>(daemon_->Target());
    CreateRemote();
    worker_ = std::make_unique<WorkerCall>(*handlers_, "listeners/remote");
    watch_ = std::make_unique<DaemonClient::Watch>(*control_);
    peer_ = std::make_unique<PlainClient>(port_);
    attached_ =
        std::make_unique<SocketCall>(*connections_, worker_->ReadOffered());
    attached_->ReadOpened();
    Dial();
  }

  void CreateRemote() {
    v1::CreateListenerRequest request;
    request.set_listener_id("remote");
    auto* spec = request.mutable_spec();
    spec->mutable_where_to_listen()->mutable_inet()->set_address("127.0.0.1");
    spec->mutable_handler()->mutable_remote();
    grpc::ClientContext context;
    v1::Listener listener;
    ASSERT_TRUE(listeners_->CreateListener(&context, request, &listener).ok());
    port_ = listener.status().listening_on().inet().port();
  }

  v1::ClientFrame DialFrame() const {
    v1::ClientFrame frame;
    auto* inet =
        frame.mutable_dial()->mutable_where_to_connect()->mutable_inet();
    inet->set_host("127.0.0.1");
    inet->set_port(upstream_.port());
    return frame;
  }

  void Dial() {
    dialled_ =
        std::make_unique<SocketCall>(*connections_, &SocketCall::Stub::Dial);
    dialled_->Send(DialFrame());
    dialled_->ReadOpened();
    upstream_client_ = std::make_unique<PlainClient>(upstream_.Accept());
  }

  // Waits until the daemon has taken `bytes` from the peers of both
  // connections.
  void AwaitReceived(int64_t bytes) {
    size_t taken = 0;
    while (taken < 2) {
      grpc::ClientContext context;
      v1::ListConnectionsResponse response;
      ASSERT_TRUE(connections_->ListConnections(&context, {}, &response).ok());
      taken = 0;
      for (const v1::Connection& connection : response.connections()) {
        if (connection.bytes_received() >= bytes) ++taken;
      }
    }
  }

  // Waits until the daemon has no connection any more.
  void AwaitNoConnection() {
    v1::ListConnectionsResponse response;
    do {
      grpc::ClientContext context;
      response.Clear();
      ASSERT_TRUE(connections_->ListConnections(&context, {}, &response).ok());
    } while (response.connections_size() > 0);
  }

  PlainListener upstream_;
  std::unique_ptr<DaemonProcess> daemon_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ListenerService::Stub> listeners_;
  std::unique_ptr<v1::ConnectionService::Stub> connections_;
  std::unique_ptr<v1::HandlerService::Stub> handlers_;
  std::unique_ptr<DaemonClient> control_;
  int port_ = 0;
  std::unique_ptr<WorkerCall> worker_;
  std::unique_ptr<DaemonClient::Watch> watch_;
  std::unique_ptr<PlainClient> peer_;
  std::unique_ptr<SocketCall> attached_;
  std::unique_ptr<SocketCall> dialled_;
  std::unique_ptr<PlainClient> upstream_client_;
};

TEST_F(ShutdownStreamsTest, EachEndsAsTheContractSays) {
  Start("0s");
  attached_->SendData("last words");
  peer_->Expect("last words");
  daemon_->Signal(SIGTERM);
  EXPECT_EQ(attached_->Rest(), "closed SHUTDOWN|OK");
  EXPECT_EQ(dialled_->Rest(), "closed SHUTDOWN|OK");
  // Neither side had ended them: what is cut must not look whole.
  EXPECT_EQ(peer_->ReceiveAll(), "|ECONNRESET");
  EXPECT_EQ(upstream_client_->ReceiveAll(), "|ECONNRESET");
  EXPECT_EQ(worker_->Rest(), "OK");
  std::vector<v1::Event> events;
  EXPECT_TRUE(watch_->Drain(events).ok());
  int closed = 0;
  for (const v1::Event& event : events) {
    if (!event.has_connection_closed()) continue;
    ++closed;
    EXPECT_EQ(event.connection_closed().connection().close_reason(),
              v1::CLOSE_REASON_SHUTDOWN);
  }
  EXPECT_EQ(closed, 2);
  EXPECT_EQ(daemon_->WaitForExit(), 0);
}

TEST_F(ShutdownStreamsTest, WhoHasGotAllIsNotReset) {
  Start("0s");
  for (const auto& [call, peer] : {std::pair(&attached_, &peer_),
                                   std::pair(&dialled_, &upstream_client_)}) {
    (*call)->SendData("all of it");
    (*call)->Send(EofFrame());
    EXPECT_EQ((*peer)->ReceiveAll(), "all of it|EOF");
  }
  daemon_->Signal(SIGTERM);
  EXPECT_EQ(attached_->Rest(), "closed SHUTDOWN|OK");
  EXPECT_EQ(dialled_->Rest(), "closed SHUTDOWN|OK");
  for (const auto& peer : {&peer_, &upstream_client_}) {
    EXPECT_EQ((*peer)->ReceiveAll(), "|EOF");
  }
  EXPECT_EQ(daemon_->WaitForExit(), 0);
}

TEST_F(ShutdownStreamsTest, WhatNobodyHasClaimedIsReset) {
  Start("0s");
  PlainClient unclaimed(port_);
  worker_->ReadOffered();
  daemon_->Signal(SIGTERM);
  EXPECT_EQ(unclaimed.ReceiveAll(), "|ECONNRESET");
  EXPECT_EQ(daemon_->WaitForExit(), 0);
}

TEST_F(ShutdownStreamsTest, WhileItDrainsTheyGoOnAndNothingNewIsDialled) {
  Start("10m");
  // Offered before the end, attached to during it.
  PlainClient late_peer(port_);
  const std::string late_name = worker_->ReadOffered();
  daemon_->Signal(SIGTERM);
  control_->WaitUntilNotServing();
  v1::Listener created;
  while (control_->CreateEcho(created).ok()) {
  }

  SocketCall late(*connections_, late_name);
  late.ReadOpened();
  late_peer.Send("still");
  EXPECT_EQ(late.ReadData(5), "still");
  late.Send(DoneFrame());
  EXPECT_EQ(late.Rest(), "closed HANDLER_DONE|OK");

  SocketCall refused(*connections_, &SocketCall::Stub::Dial);
  refused.Send(DialFrame());
  EXPECT_NE(refused.Rest().find("SHUTTING_DOWN"), std::string::npos);

  attached_->SendData("draining");
  peer_->Expect("draining");
  attached_->Send(DoneFrame());
  EXPECT_EQ(attached_->Rest(), "closed HANDLER_DONE|OK");
  upstream_client_->Close();
  dialled_->EndSending();
  EXPECT_EQ(dialled_->Rest(), "eof|closed PEER_CLOSED|OK");
  EXPECT_EQ(worker_->Rest(), "OK");
  EXPECT_EQ(daemon_->WaitForExit(), 0);
}

TEST_F(ShutdownStreamsTest, ClientsThatDoNotReadHoldUpNoExit) {
  Start("10m");
  const std::string data(64 << 10, 'x');
  upstream_client_->Send(data);
  peer_->Send(data);
  daemon_->Signal(SIGTERM);
  control_->WaitUntilNotServing();
  daemon_->Signal(SIGTERM);
  EXPECT_EQ(daemon_->WaitForExit(), 1);
}

TEST_F(ShutdownStreamsTest, AfterTheDrainASecondSignalWaitsForNoneToBeRead) {
  Start("0s");
  // More than gRPC takes for a client that does not read.
  const std::string data(64 << 10, 'x');
  upstream_client_->Send(data);
  peer_->Send(data);
  AwaitReceived(64 << 10);
  daemon_->Signal(SIGTERM);
  EXPECT_EQ(upstream_client_->ReceiveAll(), "|ECONNRESET");
  EXPECT_EQ(peer_->ReceiveAll(), "|ECONNRESET");
  AwaitNoConnection();
  // The streams have a while from here on.
  daemon_->Signal(SIGTERM);
  EXPECT_EQ(daemon_->WaitForExit(), 1);
  EXPECT_NE(
      daemon_->error_output().find("a second signal cuts what has not ended: "
                                   "calls whose clients do not read"),
      std::string::npos)
      << daemon_->error_output();
}

}  // namespace
}  // namespace portreeve::testing
