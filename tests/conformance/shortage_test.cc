// CONFORMANCE S10 and S5: no descriptors left, and the bound that servers
// share.
#include <sys/resource.h>
#include <sys/time.h>

#include "tests/testing/descriptors.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

class CountingObserver : public ServerObserver {
 public:
  void OnAcceptFailed(const AnyAddress&, int error_number,
                      int64_t count) override {
    errors.push_back(error_number);
    failures += count;
  }
  void OnLimitReached(const AnyAddress&, int limit) override {
    limits.push_back(limit);
  }
  std::vector<int> errors;
  int64_t failures = 0;
  std::vector<int> limits;
};

class ShortageTest : public InetServerTest {
 protected:
  // Outlives the servers, which the fixture tears down after the test's body.
  CountingObserver observer;
};

TEST_F(ShortageTest, S10_WithoutDescriptorsAcceptingPausesAndRecovers) {
  ServerOptions options;
  options.observer = &observer;
  options.max_connections = 100;
  Server<Inet>& server = Create(Echo(), options);
  std::vector<RawClient> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(ConnectedClient(server));
  {
    const FewDescriptors few(1);
    WaitForCall(0);
    RunUntil([&] { return !observer.errors.empty(); });
    EXPECT_EQ(observer.errors, std::vector<int>{EMFILE});
    EXPECT_EQ(observer.failures, 1);
    Settle();  // Comes to an end: nothing is tried again before its time.
    EXPECT_EQ(calls().size(), 1u);
    // Each try that fails again is followed by a longer pause, and reported
    // once a minute.
    time().Advance(std::chrono::seconds(30));
    Settle();
    EXPECT_EQ(observer.errors.size(), 1u);
    EXPECT_FALSE(server.is_closed());  // The original stops for good.
    // The one that is served goes on.
    EXPECT_EQ(clients[0].Send("still\n"), "ok");
    EXPECT_EQ(clients[0].Receive(), "still\n");
  }
  time().Advance(std::chrono::seconds(1));
  WaitForCall(2);
  for (RawClient& client : clients) {
    EXPECT_EQ(client.Send("x\n"), "ok");
    EXPECT_EQ(client.Receive(), "x\n");
  }
}

TEST_F(ShortageTest, S10_AConnectionThatClosesEndsThePauseAtOnce) {
  ServerOptions options;
  options.observer = &observer;
  Server<Inet>& server = Create(Echo(), options);
  RawClient c1 = ConnectedClient(server);
  RawClient c2 = ConnectedClient(server);
  const FewDescriptors few(1);
  WaitForCall(0);
  RunUntil([&] { return !observer.errors.empty(); });
  c1.CloseSending();
  // No time passes.
  WaitForCall(1);
  EXPECT_EQ(c2.Send("x\n"), "ok");
  EXPECT_EQ(c2.Receive(), "x\n");
}

std::chrono::microseconds CpuTime(const rusage& usage) {
  const auto of = [](const timeval& time) {
    return std::chrono::seconds(time.tv_sec) +
           std::chrono::microseconds(time.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

TEST(Shortage, S10_CpuStaysIdleWhileAcceptingPauses) {
  // On the real clock: two seconds of EMFILE with a client waiting.
  asio::io_context loop{1};
  CountingObserver observer;
  ServerOptions options;
  options.observer = &observer;
  auto handler = [](Inet::Address, Reader& reader, Writer&) -> Task<> {
    char byte;
    co_await reader.Read(std::span<char>(&byte, 1));
  };
  auto server = Server<Inet>::Create(loop.get_executor(),
                                     WhereToListen<Inet>::OfLocalhost(0),
                                     RaiseHandlerError(), handler, options);
  ASSERT_TRUE(server.ok());
  RawClient client(loop, [](const std::function<bool()>&) { return false; });
  ASSERT_EQ(client.Connect((*server)->listening_on_address()), "ok");
  rusage before;
  rusage after;
  {
    const FewDescriptors few(0);
    getrusage(RUSAGE_SELF, &before);
    loop.run_for(std::chrono::seconds(2));
    getrusage(RUSAGE_SELF, &after);
  }
  EXPECT_EQ(observer.errors, std::vector<int>{EMFILE});
  // A busy loop would take all of the two seconds; a handful of tries, with
  // pauses of 50, 100, 200, 400, 800 and 1000 ms, takes nothing to speak of.
  EXPECT_LT(CpuTime(after) - CpuTime(before), std::chrono::milliseconds(500));
  client.Close();
  TaskScope scope{Executor(loop.get_executor())};
  scope.Spawn((*server)->TearDown());
  loop.restart();
  loop.run();
}

TEST_F(ShortageTest, S5_TheLimitIsReportedOnceAMinute) {
  ServerOptions options;
  options.observer = &observer;
  options.max_connections = 1;
  Server<Inet>& server = Create(Steered(), options);
  auto serve_one = [&](size_t index) {
    RawClient client = ConnectedClient(server);
    WaitForCall(index).end.Fill("");
    RunUntil([&] { return server.num_connections() == 0; });
  };
  serve_one(0);
  serve_one(1);
  EXPECT_EQ(observer.limits, std::vector<int>{1});
  time().Advance(std::chrono::seconds(59));
  serve_one(2);
  EXPECT_EQ(observer.limits.size(), 1u);
  time().Advance(std::chrono::seconds(1));
  serve_one(3);
  EXPECT_EQ(observer.limits.size(), 2u);
}

TEST_F(ShortageTest, S5_DefaultIsTheSmallerOf10000And90PercentOfTheLimit) {
  rlimit before;
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit lowered = before;
  lowered.rlim_cur = 1000;
  setrlimit(RLIMIT_NOFILE, &lowered);
  EXPECT_EQ(DefaultMaxConnections(), 900);
  if (before.rlim_max >= 20000) {
    lowered.rlim_cur = 20000;
    setrlimit(RLIMIT_NOFILE, &lowered);
    EXPECT_EQ(DefaultMaxConnections(), 10000);
  }
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST_F(ShortageTest, S5_ServersShareABudgetOfDescriptors) {
  DescriptorBudget budget(3);
  ServerOptions options;
  options.observer = &observer;
  options.descriptor_budget = &budget;
  Server<Inet>& one = Create(Steered(), options);
  options.descriptors_per_connection = 2;
  Server<Inet>& two = Create(Steered(), options);
  RawClient a = ConnectedClient(one);
  WaitForCall(0);
  RawClient b = ConnectedClient(two);
  WaitForCall(1);
  EXPECT_EQ(budget.num_free(), 0);
  RawClient c = ConnectedClient(two);
  RawClient d = ConnectedClient(one);
  Settle();
  EXPECT_EQ(calls().size(), 2u);
  calls()[1]->end.Fill("");  // Two descriptors are free: c's turn.
  WaitForCall(2);
  Settle();
  EXPECT_EQ(calls().size(), 3u);
  EXPECT_EQ(two.num_connections(), 1);
  calls()[0]->end.Fill("");
  WaitForCall(3);
  EXPECT_EQ(one.num_connections(), 1);
  TearDownServers();
  EXPECT_EQ(budget.num_free(), 3);
}

}  // namespace
}  // namespace portreeve::testing
