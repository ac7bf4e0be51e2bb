// ConnectSock to names: Happy Eyeballs, admit, source addresses, cancellation.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/lib/connect_sock_fixture.h"

namespace portreeve::testing {
namespace {

// --- Happy Eyeballs -------------------------------------------------------

TEST_F(ConnectSockTest, ABlackHoleDelaysTheNextAddressBy250ms) {
  auto [hole, acceptor] = HoleAndListener("::1", "127.0.0.1");
  resolver_.Answer(Family::kV6, {A("::1")});
  resolver_.Answer(Family::kV4, {A("127.0.0.1")});
  InetRunner runner(loop_, Connect("two.example", hole.port(), Options()));
  RunReady();
  time_.Advance(milliseconds(249));
  RunReady();
  EXPECT_FALSE(runner.ended());
  EXPECT_FALSE(HasClient(acceptor));
  time_.Advance(milliseconds(1));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().peer_address(), acceptor.local_endpoint());
  // The listener, the socket that fills the hole, the hole, and the winner:
  // the loser's socket is closed.
  EXPECT_EQ(CountDescriptors(), num_fds_ + 4);
}

TEST_F(ConnectSockTest, IPv4WaitsFor50msOnly) {
  Acceptor acceptor = Listen("127.0.0.1");
  resolver_.Answer(Family::kV4, {A("127.0.0.1")});
  InetRunner runner(
      loop_,
      Connect("half.example", acceptor.local_endpoint().port(), Options()));
  RunReady();
  time_.Advance(milliseconds(49));
  RunReady();
  EXPECT_FALSE(runner.ended());
  time_.Advance(milliseconds(1));
  RunToEnd(runner);
  EXPECT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(resolver_.num_running(), 0);
}

TEST_F(ConnectSockTest, IPv6IsTriedFirstAndAtOnce) {
  auto [v6, v4] = TwoListeners("::1", "127.0.0.1");
  resolver_.Answer(Family::kV6, {A("::1")});
  InetRunner runner(
      loop_, Connect("two.example", v6.local_endpoint().port(), Options()));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().peer_address(), v6.local_endpoint());
  EXPECT_FALSE(HasClient(v4));
}

TEST_F(ConnectSockTest, TheNextAddressFollowsARefusalAtOnce) {
  Acceptor acceptor = Listen("127.0.0.1");
  resolver_.Answer(Family::kV6, {});
  resolver_.Answer(Family::kV4,
                   {A("127.0.0.2"), A("127.0.0.3"), A("127.0.0.1")});
  InetRunner runner(
      loop_,
      Connect("three.example", acceptor.local_endpoint().port(), Options()));
  RunToEnd(runner);  // The clock stands still.
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().peer_address(), acceptor.local_endpoint());
}

TEST_F(ConnectSockTest, ALateAddressJoins) {
  auto [hole, acceptor] = HoleAndListener("::1", "127.0.0.1");
  resolver_.Answer(Family::kV6, {A("::1")});
  InetRunner runner(loop_, Connect("late.example", hole.port(), Options()));
  RunReady();
  time_.Advance(seconds(5));
  RunReady();
  EXPECT_FALSE(runner.ended());
  resolver_.Answer(Family::kV4, {A("127.0.0.1")});
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().peer_address(), acceptor.local_endpoint());
}

TEST_F(ConnectSockTest, ASlowAddressMayStillWin) {
  BlackHole hole(loop_, "::1");
  resolver_.Answer(Family::kV6, {A("::1")});
  resolver_.Answer(Family::kV4, {A("127.0.0.1")});  // Refuses.
  InetRunner runner(loop_, Connect("two.example", hole.port(), Options()));
  RunReady();
  time_.Advance(milliseconds(250));
  RunReady();
  EXPECT_FALSE(runner.ended());
  hole.Drain();
  RunToEnd(runner);  // When the kernel sends the SYN again.
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().peer_address().address(), A("::1"));
}

TEST_F(ConnectSockTest, TheLastAttemptsErrorIsReported) {
  const int port = FreePort("127.0.0.1");
  resolver_.Answer(Family::kV6, {});
  resolver_.Answer(Family::kV4, {A("127.0.0.2"), A("127.0.0.3")});
  const absl::Status status = ErrorOf("two.example", port, Options());
  EXPECT_EQ(Text(status), "connect tcp:127.0.0.3:" + std::to_string(port) +
                              ": Connection refused");
}

// --- DNS ------------------------------------------------------------------

TEST_F(ConnectSockTest, ADnsFailureIsReportedIfThereIsNoAddress) {
  ErrorDetail detail;
  detail.reason = Reason::kDnsFailure;
  const absl::Status failure =
      MakeError(absl::StatusCode::kUnavailable, detail, "no server");
  resolver_.Fail(Family::kV6, failure);
  resolver_.Answer(Family::kV4, {});
  EXPECT_EQ(ErrorOf("broken.example", 80, Options()), failure);
}

TEST_F(ConnectSockTest, ADnsFailureOfOneFamilyIsHarmless) {
  Acceptor acceptor = Listen("127.0.0.1");
  resolver_.Fail(Family::kV6, absl::UnavailableError("no server"));
  resolver_.Answer(Family::kV4, {A("127.0.0.1")});
  InetRunner runner(
      loop_,
      Connect("half.example", acceptor.local_endpoint().port(), Options()));
  RunToEnd(runner);
  EXPECT_TRUE(runner.status().ok()) << runner.status();
}

TEST_F(ConnectSockTest, ANameWithoutAddressesIsADnsFailure) {
  resolver_.Answer(Family::kV6, {});
  resolver_.Answer(Family::kV4, {});
  const absl::Status status = ErrorOf("none.example", 80, Options());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(DetailOf(status).reason, Reason::kDnsFailure);
  EXPECT_EQ(Text(status), "resolve tcp:none.example:80: no address");
}

TEST_F(ConnectSockTest, ASilentNameServerDelaysNoOtherConnect) {
  Acceptor acceptor = Listen("127.0.0.1");
  const int port = acceptor.local_endpoint().port();
  std::vector<std::unique_ptr<InetRunner>> stuck;
  for (int i = 0; i < 50; ++i) {
    stuck.push_back(std::make_unique<InetRunner>(
        loop_, Connect("silent.example", port, Options())));
  }
  RunReady();
  EXPECT_EQ(resolver_.num_running(), 100);
  FakeResolver good(loop_);
  good.Answer(Family::kV6, {});
  good.Answer(Family::kV4, {A("127.0.0.1")});
  ConnectOptions options;
  options.resolver = &good;
  InetRunner runner(loop_, Connect("good.example", port, options));
  RunToEnd(runner);
  EXPECT_TRUE(runner.status().ok()) << runner.status();
  for (auto& other : stuck) {
    EXPECT_FALSE(other->ended());
    other->Cancel();
  }
  RunReady();
  EXPECT_EQ(resolver_.num_running(), 0);
}

TEST_F(ConnectSockTest, F13_LocalhostIsResolved) {
  Acceptor acceptor = Listen("127.0.0.1");
  ConnectOptions options;  // The loop's own resolver.
  InetRunner runner(
      loop_, Connect("localhost", acceptor.local_endpoint().port(), options));
  while (!runner.ended()) {
    loop_.restart();
    loop_.run_one();
    time_.Advance(milliseconds(1));  // Past the resolution delay.
  }
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().peer_address(), acceptor.local_endpoint());
}

// --- Admit ----------------------------------------------------------------

TEST_F(ConnectSockTest, AnAddressThatIsNotAdmittedIsNotTried) {
  auto [refused, admitted] = TwoListeners("127.0.0.2", "127.0.0.1");
  resolver_.Answer(Family::kV6, {A("::ffff:127.0.0.2")});
  resolver_.Answer(Family::kV4, {A("127.0.0.2"), A("127.0.0.1")});
  ConnectOptions options = Options();
  options.admit = [](const Inet::Address& address) {
    return address.address() == A("127.0.0.1")
               ? absl::OkStatus()
               : absl::PermissionDeniedError("outside policy");
  };
  InetRunner runner(
      loop_, Connect("two.example", admitted.local_endpoint().port(), options));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().peer_address(), admitted.local_endpoint());
  EXPECT_FALSE(HasClient(refused));
}

TEST_F(ConnectSockTest, TheRefusalIsReportedIfNoAddressIsAdmitted) {
  resolver_.Answer(Family::kV6, {A("::1")});
  resolver_.Answer(Family::kV4, {A("127.0.0.1")});
  Acceptor acceptor = Listen("127.0.0.1");
  const int port = acceptor.local_endpoint().port();
  ConnectOptions options = Options();
  options.admit = [](const Inet::Address&) {
    return absl::PermissionDeniedError("outside policy");
  };
  for (const char* host : {"two.example", "127.0.0.1"}) {
    EXPECT_EQ(ErrorOf(host, port, options),
              absl::PermissionDeniedError("outside policy"));
  }
  EXPECT_FALSE(HasClient(acceptor));
}

TEST_F(ConnectSockTest, AnAdmitThatThrowsAdmitsNothing) {
  ConnectOptions options = Options();
  options.admit = [](const Inet::Address&) -> absl::Status {
    throw StatusError(absl::InternalError("broken"));
  };
  EXPECT_EQ(ErrorOf("127.0.0.1", 80, options), absl::InternalError("broken"));
}

// --- Source address (f13) -------------------------------------------------

TEST_F(ConnectSockTest, F13_BindToAddressAndPort) {
  Acceptor acceptor = Listen("127.0.0.1");
  auto where = WhereToConnect<Inet>::OfInetAddress(acceptor.local_endpoint());
  where.bind_to_address = A("127.0.0.5");
  where.bind_to_port = FreePort("127.0.0.5");
  InetRunner runner(loop_, ConnectSock<Inet>(where, Options()));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  const Inet::Address source(A("127.0.0.5"),
                             static_cast<uint16_t>(*where.bind_to_port));
  EXPECT_EQ(runner.value().local_address(), source);
  EXPECT_EQ(acceptor.accept().remote_endpoint(), source);
}

TEST_F(ConnectSockTest, BindToPortAloneServesBothFamilies) {
  for (const char* host : {"127.0.0.1", "::1"}) {
    Acceptor acceptor = Listen(host);
    auto where = WhereToConnect<Inet>::OfInetAddress(acceptor.local_endpoint());
    where.bind_to_port = FreePort(host);
    InetRunner runner(loop_, ConnectSock<Inet>(where, Options()));
    RunToEnd(runner);
    ASSERT_TRUE(runner.status().ok()) << runner.status();
    EXPECT_EQ(runner.value().local_address().port(), *where.bind_to_port);
  }
}

TEST_F(ConnectSockTest, F13_AnImpossibleBindAddressIsABindError) {
  Acceptor acceptor = Listen("127.0.0.1");
  auto where = WhereToConnect<Inet>::OfInetAddress(acceptor.local_endpoint());
  where.bind_to_address = A("203.0.113.1");
  const absl::Status status = ErrorOf(where, Options());
  EXPECT_EQ(Text(status),
            "bind tcp:203.0.113.1:0: Cannot assign requested address");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(DetailOf(status).reason, Reason::kAddressNotAvailable);
}

TEST_F(ConnectSockTest, OnlyTheFamilyOfTheBindAddressIsTried) {
  Acceptor acceptor = Listen("127.0.0.1");
  auto where = WhereToConnect<Inet>::OfHostAndPort(
      "two.example", acceptor.local_endpoint().port());
  where.bind_to_address = A("127.0.0.5");
  resolver_.Answer(Family::kV4, {A("127.0.0.1")});
  InetRunner runner(loop_, ConnectSock<Inet>(where, Options()));
  RunToEnd(runner);  // Without waiting for IPv6.
  EXPECT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(resolver_.num_lookups(), 1);

  where.host = "::1";
  EXPECT_EQ(DetailOf(ErrorOf(where, Options())).field, "bind_to_address");
}

// --- Cancellation ---------------------------------------------------------

// Lets a connect go through the delays, a refusal, a black hole and success,
// and cancels it after each number of steps of the loop.
TEST_F(ConnectSockTest, CancelledAtEveryPointItLeavesNothing) {
  auto [hole, acceptor] = HoleAndListener("::1", "127.0.0.1");
  RunReady();
  const int before = CountDescriptors();
  bool succeeded = false;
  int cancelled = 0;
  for (int steps = 0; !succeeded; ++steps) {
    FakeResolver resolver(loop_);
    const Ivar<> interrupt(Executor(loop_.get_executor()));
    ConnectOptions options;
    options.resolver = &resolver;
    options.interrupt = interrupt.deferred();
    const std::vector<std::function<void()>> script = {
        [&] {
          resolver.Answer(Family::kV4, {A("127.0.0.2"), A("127.0.0.1")});
        },
        [&] { time_.Advance(milliseconds(20)); },
        [&] { resolver.Answer(Family::kV6, {A("::1")}); },
        [&] { time_.Advance(milliseconds(250)); },
    };
    {
      InetRunner runner(loop_, Connect("all.example", hole.port(), options));
      size_t done = 0;
      loop_.restart();
      for (int i = 0; i < steps && !runner.ended(); ++i) {
        if (loop_.poll_one() == 0 && done < script.size()) script[done++]();
        loop_.restart();
      }
      runner.Cancel();
      RunToEnd(runner);
      // So late that its end was on its way.
      succeeded = runner.status().ok();
      if (!succeeded) {
        EXPECT_TRUE(runner.cancelled()) << steps << runner.status();
        EXPECT_EQ(CountDescriptors(), before) << steps;
        ++cancelled;
      }
      EXPECT_EQ(resolver.num_running(), 0) << steps;
      EXPECT_EQ(time_.earliest(), TimePoint::max()) << steps;
    }
    RunReady();
    while (HasClient(acceptor)) {
    }
    EXPECT_EQ(CountDescriptors(), before) << steps;
  }
  EXPECT_GT(cancelled, 10);
}

TEST_F(ConnectSockTest, UnawaitedErrorsGoToTheMonitorCurrentAtTheSpawn) {
  std::vector<std::string> seen;
  const Monitor monitor(
      Monitor::TopLevel(), "test",
      [&](std::exception_ptr error) { seen.push_back(Text(StatusOf(error))); });
  const int port = FreePort("127.0.0.1");
  {
    TaskScope scope(Executor(loop_.get_executor()).With(monitor));
    auto forget = [](Task<Socket<Inet>> task) -> Task<> {
      co_await std::move(task);
    };
    scope.Spawn(forget(Connect("127.0.0.1", port, Options())));
    RunUntil(loop_, [&] { return scope.empty(); });
  }
  EXPECT_EQ(seen, std::vector<std::string>{
                      "connect tcp:127.0.0.1:" + std::to_string(port) +
                      ": Connection refused"});
}

}  // namespace
}  // namespace portreeve::testing
