// ConnectSock to names on a socket that it is given: which address that is
// connected to, and what becomes of it where it is not.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "tests/lib/connect_sock_fixture.h"
#include "tests/testing/sockets.h"

namespace portreeve::testing {
namespace {

class ConnectGivenTest : public ConnectSockTest {
 protected:
  Task<Socket<Inet>> ConnectOn(Descriptor socket, int port,
                               ConnectOptions options) {
    return ConnectSock<Inet>(
        WhereToConnect<Inet>::OfHostAndPort("some.example", port),
        std::move(options), std::move(socket));
  }
};

TEST_F(ConnectGivenTest, OnlyAddressesOfItsFamilyAreLookedUp) {
  auto [v6, v4] = TwoListeners("::1", "127.0.0.1");
  resolver_.Answer(Family::kV6, {A("::1")});
  resolver_.Answer(Family::kV4, {A("127.0.0.1")});
  const int port = v6.local_endpoint().port();
  InetRunner of_v4(loop_, ConnectOn(NewSocket(AF_INET), port, Options()));
  RunToEnd(of_v4);
  ASSERT_TRUE(of_v4.status().ok()) << of_v4.status();
  EXPECT_EQ(of_v4.value().peer_address(), v4.local_endpoint());
  EXPECT_EQ(resolver_.num_lookups(), 1);
  InetRunner of_v6(loop_, ConnectOn(NewSocket(AF_INET6), port, Options()));
  RunToEnd(of_v6);
  ASSERT_TRUE(of_v6.status().ok()) << of_v6.status();
  EXPECT_EQ(of_v6.value().peer_address(), v6.local_endpoint());
  EXPECT_EQ(resolver_.num_lookups(), 2);
}

TEST_F(ConnectGivenTest, OnlyTheFirstAddressIsTried) {
  Acceptor acceptor = Listen("127.0.0.1");
  resolver_.Answer(Family::kV4, {A("127.0.0.2"), A("127.0.0.1")});
  const int port = acceptor.local_endpoint().port();
  InetRunner runner(loop_, ConnectOn(NewSocket(AF_INET), port, Options()));
  RunToEnd(runner);
  EXPECT_EQ(DetailOf(runner.status()).reason, Reason::kConnectRefused);
  EXPECT_EQ(
      Text(runner.status()),
      "connect tcp:127.0.0.2:" + std::to_string(port) + ": Connection refused");
  EXPECT_FALSE(HasClient(acceptor));
}

// Nor does another one join it after a while.
TEST_F(ConnectGivenTest, OnlyTheFirstAddressIsTriedThoughItIsSlow) {
  auto [hole, acceptor] = HoleAndListener("127.0.0.2", "127.0.0.1");
  resolver_.Answer(Family::kV4, {A("127.0.0.2"), A("127.0.0.1")});
  InetRunner runner(loop_,
                    ConnectOn(NewSocket(AF_INET), hole.port(), Options()));
  RunReady();
  time_.Advance(seconds(1));
  RunReady();
  EXPECT_FALSE(runner.ended());
  EXPECT_FALSE(HasClient(acceptor));
  time_.Advance(seconds(29));
  RunToEnd(runner);
  EXPECT_EQ(DetailOf(runner.status()).reason, Reason::kConnectTimeout);
}

TEST_F(ConnectGivenTest, TheFirstAddressIsTheFirstThatIsAdmitted) {
  Acceptor acceptor = Listen("127.0.0.1");
  resolver_.Answer(Family::kV4, {A("127.0.0.2"), A("127.0.0.1")});
  ConnectOptions options = Options();
  options.admit = [](const Inet::Address& address) {
    return address.address() == A("127.0.0.2")
               ? absl::PermissionDeniedError("not that one")
               : absl::OkStatus();
  };
  int num_connects = 0;
  options.around_connect = [&](const Inet::Address&,
                               absl::FunctionRef<int()> connect) {
    ++num_connects;
    connect();
  };
  InetRunner runner(
      loop_,
      ConnectOn(NewSocket(AF_INET), acceptor.local_endpoint().port(), options));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().peer_address(), acceptor.local_endpoint());
  EXPECT_EQ(num_connects, 1);
}

TEST_F(ConnectGivenTest, ItIsClosedWhereItIsGivenUp) {
  const auto is_open = [](int fd) { return fcntl(fd, F_GETFD) >= 0; };
  const BlackHole hole(loop_, "127.0.0.1");
  for (const bool is_looked_up : {false, true}) {
    SCOPED_TRACE(is_looked_up);
    if (is_looked_up) resolver_.Answer(Family::kV4, {A("127.0.0.1")});
    for (const std::string how : {"timeout", "interrupt", "cancel"}) {
      SCOPED_TRACE(how);
      const Ivar<> interrupt{Executor(loop_.get_executor())};
      ConnectOptions options = Options();
      options.interrupt = interrupt.deferred();
      Descriptor fd = NewSocket(AF_INET);
      const int number = fd.get();
      InetRunner runner(loop_, ConnectOn(std::move(fd), hole.port(), options));
      RunReady();
      EXPECT_FALSE(runner.ended());
      EXPECT_TRUE(is_open(number));
      if (how == "timeout") time_.Advance(seconds(30));
      if (how == "interrupt") interrupt.Fill();
      if (how == "cancel") runner.Cancel();
      RunToEnd(runner);
      EXPECT_FALSE(runner.status().ok());
      EXPECT_FALSE(is_open(number));
    }
  }
}

TEST_F(ConnectGivenTest, ALiteralIsOfItsFamily) {
  const Descriptor fd = NewSocket(AF_INET6);
  InetRunner runner(
      loop_,
      ConnectSock<Inet>(WhereToConnect<Inet>::OfHostAndPort("127.0.0.1", 80),
                        Options(), CopyOf(fd)));
  RunToEnd(runner);
  EXPECT_EQ(DetailOf(runner.status()).field, "socket");
  EXPECT_EQ(Text(runner.status()),
            "socket: must be an IPv4 socket for tcp:127.0.0.1:80, but is an "
            "IPv6 one");
  EXPECT_FALSE(IsNonBlocking(fd));
}

TEST_F(ConnectGivenTest, ASourceIsForOneThatIsNotBound) {
  Acceptor acceptor = Listen("127.0.0.1");
  auto where = WhereToConnect<Inet>::OfInetAddress(acceptor.local_endpoint());
  where.bind_to_address = A("127.0.0.2");
  InetRunner runner(loop_,
                    ConnectSock<Inet>(where, Options(), NewSocket(AF_INET)));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().local_address().address(), A("127.0.0.2"));

  const auto error_on = [&](const Descriptor& fd) {
    InetRunner refused(loop_, ConnectSock<Inet>(where, Options(), CopyOf(fd)));
    RunToEnd(refused);
    EXPECT_FALSE(IsNonBlocking(fd));
    return refused.status();
  };
  const Descriptor bound = BoundSocket(Inet::Address(A("127.0.0.1"), 0));
  EXPECT_EQ(Text(error_on(bound)),
            "bind_to_address: must not be set for a socket that is bound, to " +
                ToString(LocalAddressOf(bound)));
  where.bind_to_address.reset();
  where.bind_to_port = 1;
  EXPECT_EQ(DetailOf(error_on(bound)).field, "bind_to_port");
  where.bind_to_port.reset();
  where.bind_to_address = A("::1");
  const Descriptor unbound = NewSocket(AF_INET);
  EXPECT_EQ(DetailOf(error_on(unbound)).field, "bind_to_address");
}

TEST_F(ConnectGivenTest, AFullBacklogOfAFileIsTriedAgainWithTheSameSocket) {
  TemporaryDirectory directory;
  const Unix::Address address(directory.File("full"));
  const Descriptor listening = ListeningSocketAt(address, 0);
  const Descriptor filler = NewSocket(AF_UNIX);
  ASSERT_EQ(connect(filler.get(), address.data(),
                    static_cast<socklen_t>(address.size())),
            0);
  Descriptor fd = NewSocket(AF_UNIX);
  const int number = fd.get();
  UnixRunner runner(
      loop_, ConnectSock<Unix>(WhereToConnect<Unix>::OfUnixAddress(address),
                               Options(), std::move(fd)));
  RunReady();
  time_.Advance(seconds(1));
  RunReady();
  EXPECT_FALSE(runner.ended());
  const Descriptor accepted(accept(listening.get(), nullptr, nullptr));
  time_.Advance(seconds(1));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().native_handle(), number);
}

}  // namespace
}  // namespace portreeve::testing
