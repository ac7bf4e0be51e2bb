// A daemon is not reached through itself: by Dial, or by a forward handler.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/integration/daemon_client.h"
#include "tests/server/plain_socket.h"
#include "tests/server/service_fixture.h"
#include "tests/server/stream_client.h"
#include "tests/testing/connected_channel.h"
#include "tests/testing/daemon_process.h"
#include "tests/testing/server_fixture.h"
#include "tests/testing/unix_listener.h"

namespace portreeve::testing {
namespace {

class OwnAddressesDaemonTest : public ::testing::Test {
 protected:
  void Start(const std::string& tcp) {
    daemon_ = std::make_unique<DaemonProcess>(std::vector<std::string>{
        "--control", tcp, "--control", "unix:" + control_, "--insecure"});
    ASSERT_TRUE(daemon_->WaitUntilReady());
    port_ = std::stoi(tcp_address().substr(tcp_address().rfind(':') + 1));
    const auto channel = Connected(grpc::CreateChannel(
        "unix:" + control_, grpc::InsecureChannelCredentials()));
    listeners_ = v1::ListenerService::NewStub(channel);
    connections_ = v1::ConnectionService::NewStub(channel);
  }
  std::string tcp_address() const {
    return daemon_->Printed("control ").front();
  }

  v1::WhereToConnect To(const std::string& host) const {
    v1::WhereToConnect where;
    where.mutable_inet()->set_host(host);
    where.mutable_inet()->set_port(port_);
    return where;
  }
  static v1::WhereToConnect ToFile(const std::string& path) {
    v1::WhereToConnect where;
    where.mutable_unix_socket()->set_path(path);
    return where;
  }

  // What Dial says: "opened|...", or code, reason and field.
  std::string Dial(const v1::WhereToConnect& where) {
    SocketCall call(*connections_, &SocketCall::Stub::Dial);
    v1::ClientFrame frame;
    *frame.mutable_dial()->mutable_where_to_connect() = where;
    call.Send(frame);
    call.Send(DoneFrame());
    return call.Rest();
  }

  grpc::Status CreateForward(const v1::WhereToConnect& where,
                             v1::Listener& listener) {
    v1::CreateListenerRequest request;
    auto& spec = *request.mutable_spec();
    spec.mutable_where_to_listen()->mutable_inet()->set_address("127.0.0.1");
    *spec.mutable_handler()->mutable_forward()->mutable_upstream() = where;
    grpc::ClientContext context;
    return listeners_->CreateListener(&context, request, &listener);
  }
  // What a client of a listener that forwards there sees.
  std::string ThroughForward(const v1::WhereToConnect& where) {
    v1::Listener listener;
    EXPECT_TRUE(CreateForward(where, listener).ok());
    PlainClient client(listener.status().listening_on().inet().port());
    return client.Receive();
  }

  void ExpectRefused(const v1::WhereToConnect& where,
                     const std::string& field) {
    v1::Listener listener;
    EXPECT_EQ(Dial(where), "9 / SELF_CONNECT / dial.where_to_connect." + field);
    EXPECT_EQ(Shown(CreateForward(where, listener)),
              "9 / SELF_CONNECT / spec.handler.forward.upstream." + field);
  }

  const TemporaryFolder folder_;
  const std::string control_ = folder_.File("control");
  std::unique_ptr<DaemonProcess> daemon_;
  int port_ = 0;
  std::unique_ptr<v1::ListenerService::Stub> listeners_;
  std::unique_ptr<v1::ConnectionService::Stub> connections_;
};

TEST_F(OwnAddressesDaemonTest, ALoopbackAddressIsRefused) {
  Start("tcp:127.0.0.1:0");
  for (const char* host :
       {"127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1", "::ffff:0.0.0.0"}) {
    SCOPED_TRACE(host);
    ExpectRefused(To(host), "inet.host");
  }
}

TEST_F(OwnAddressesDaemonTest, AWildcardIsEveryAddressOfTheMachine) {
  Start("tcp:0.0.0.0:0");
  for (const char* host : {"127.0.0.1", "127.9.8.7", "0.0.0.0"}) {
    SCOPED_TRACE(host);
    ExpectRefused(To(host), "inet.host");
  }
}

TEST_F(OwnAddressesDaemonTest, ANameIsRefusedByItsAddress) {
  Start("tcp:127.0.0.1:0");
  v1::WhereToConnect where = To("localhost");
  // Over IPv4, whoever may have the port of ::1.
  where.mutable_inet()->set_bind_to_address("127.0.0.1");
  EXPECT_EQ(Dial(where), "9 / SELF_CONNECT");
  EXPECT_EQ(ThroughForward(where), "ECONNRESET");
}

TEST_F(OwnAddressesDaemonTest, AFileIsRefusedByEveryName) {
  Start("tcp:127.0.0.1:0");
  ASSERT_EQ(link(control_.c_str(), folder_.File("twin").c_str()), 0);
  ASSERT_EQ(symlink(control_.c_str(), folder_.File("link").c_str()), 0);
  for (const char* name : {"control", "twin", "link"}) {
    SCOPED_TRACE(name);
    ExpectRefused(ToFile(folder_.File(name)), "unix_socket.path");
  }
}

TEST_F(OwnAddressesDaemonTest, AForwardsFileIsLookedAtEachTime) {
  Start("tcp:127.0.0.1:0");
  const std::string path = folder_.File("app");
  const UnixListener app(path);
  v1::Listener listener;
  ASSERT_TRUE(CreateForward(ToFile(path), listener).ok());
  const int port = listener.status().listening_on().inet().port();
  const PlainClient first(port);
  EXPECT_TRUE(app.AwaitClient());
  ASSERT_EQ(unlink(path.c_str()), 0);
  ASSERT_EQ(symlink(control_.c_str(), path.c_str()), 0);
  PlainClient second(port);
  EXPECT_EQ(second.Receive(), "ECONNRESET");
}

TEST_F(OwnAddressesDaemonTest, ItsListenersAreNoneOfThem) {
  Start("tcp:127.0.0.1:0");
  DaemonClient client("unix:" + control_);
  const v1::Listener echo = client.Create("echo");
  port_ = echo.status().listening_on().inet().port();
  EXPECT_EQ(Dial(To("127.0.0.1")).substr(0, 6), "opened");
  v1::Listener listener;
  ASSERT_TRUE(CreateForward(To("127.0.0.1"), listener).ok());
  PlainClient through(listener.status().listening_on().inet().port());
  through.Send("ping");
  through.Expect("ping");
}

}  // namespace
}  // namespace portreeve::testing
