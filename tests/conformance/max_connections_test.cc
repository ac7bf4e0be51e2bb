// Scenarios (c): max_connections.
#include <sys/resource.h>

#include "tests/conformance/both_kinds.h"

namespace portreeve::testing {
namespace {

// Numbers the handler's calls, and notes what happens with the count of
// connections at that time: "#1 called, 1".  The handlers share it, since they
// outlive the body of a test.
class Narrator : public std::enable_shared_from_this<Narrator> {
 public:
  // Echoes until the end of file.
  Server<Kind>::Handler Echo() {
    return [self = shared_from_this()](Kind::Address, Reader& reader,
                                       Writer& writer) {
      return RunEcho(self, reader, writer);
    };
  }
  // Ends at the first line.
  Server<Kind>::Handler OneLine() {
    return [self = shared_from_this()](Kind::Address, Reader& reader,
                                       Writer& writer) {
      return RunOneLine(self, reader, writer);
    };
  }

  void set_server(Server<Kind>& server) { server_ = &server; }
  std::vector<std::string> Take() { return std::exchange(events_, {}); }
  const std::vector<std::string>& events() const { return events_; }

 private:
  static Task<> RunEcho(std::shared_ptr<Narrator> self, Reader& reader,
                        Writer& writer) {
    const std::string name = self->NextName();
    self->Note(name + " called");
    while (auto line = co_await reader.ReadLine()) {
      writer.Write(name + " " + *line + "\n");
    }
    self->Note(name + " returns");
  }

  static Task<> RunOneLine(std::shared_ptr<Narrator> self, Reader& reader,
                           Writer& writer) {
    const std::string name = self->NextName();
    self->Note(name + " called");
    writer.close_finished().Upon(
        [=] { self->Note(name + " writer close_finished"); });
    reader.close_finished().Upon(
        [=] { self->Note(name + " reader close_finished"); });
    co_await reader.ReadLine();
    self->Note(name + " returns");
  }

  std::string NextName() { return "#" + std::to_string(++num_calls_); }
  void Note(const std::string& what) {
    events_.push_back(what + ", " + std::to_string(server_->num_connections()));
  }

  Server<Kind>* server_ = nullptr;
  int num_calls_ = 0;
  std::vector<std::string> events_;
};

using Events = std::vector<std::string>;

TEST_F(ServerTest, C1_ThirdClientWaitsInTheBacklog) {
  const auto narrator = std::make_shared<Narrator>();
  auto& server = Create(narrator->Echo(), WithMaxConnections(2));
  narrator->set_server(server);
  auto wait_for = [&](const Events& expected) {
    RunUntil([&] { return narrator->events().size() >= expected.size(); });
    EXPECT_EQ(narrator->Take(), expected);
  };
  RawClient c1 = ConnectedClient(server);
  wait_for({"#1 called, 1"});
  RawClient c2 = ConnectedClient(server);
  wait_for({"#2 called, 2"});
  EXPECT_EQ(TakeLog().size(), 1u);  // The limit is reported.
  RawClient c3 = ConnectedClient(server);
  EXPECT_EQ(c3.Send("early data of c3\n"), "ok");
  RawClient c4 = ConnectedClient(server);
  Settle();
  EXPECT_EQ(server.num_connections(), 2);
  EXPECT_EQ(c3.Peek(), "nothing");
  EXPECT_EQ(narrator->Take(), Events());

  c2.Close();
  wait_for({"#2 returns, 2", "#3 called, 2"});
  EXPECT_EQ(server.num_connections(), 2);
  EXPECT_EQ(c3.Receive(), "#3 early data of c3\n");
  EXPECT_EQ(c4.Send("c4\n"), "ok");
  Settle();
  EXPECT_EQ(c4.Peek(), "nothing");
  c1.Close();
  wait_for({"#1 returns, 2", "#4 called, 2"});
  EXPECT_EQ(c4.Receive(), "#4 c4\n");
  c3.Close();
  c4.Close();
  wait_for({"#3 returns, 2", "#4 returns, 2"});
  WaitForNoConnections(server);
}

TEST_F(ServerTest, C2_PendingClientsLeaveBeforeASlotIsFree) {
  const auto narrator = std::make_shared<Narrator>();
  auto& server = Create(narrator->Echo(), WithMaxConnections(1));
  narrator->set_server(server);
  RawClient c1 = ConnectedClient(server);
  RunUntil([&] { return !narrator->events().empty(); });
  EXPECT_EQ(TakeLog().size(), 1u);
  RawClient c2 = ConnectedClient(server);
  EXPECT_EQ(c2.Send("data"), "ok");
  c2.Close();
  RawClient c3 = ConnectedClient(server);
  c3.Reset();
  Settle();
  EXPECT_EQ(narrator->Take(), Events({"#1 called, 1"}));
  c1.Close();
  RunUntil([&] {
    return narrator->events().size() == 5 && server.num_connections() == 0;
  });
  EXPECT_EQ(narrator->Take(),
            Events({"#1 returns, 1", "#2 called, 1", "#2 returns, 1",
                    "#3 called, 1", "#3 returns, 1"}));
  RawClient c4 = ConnectedClient(server);
  EXPECT_EQ(c4.Send("hi\n"), "ok");
  EXPECT_EQ(c4.Receive(), "#4 hi\n");
}

TEST_F(ServerTest, C3_TheSlotIsFreeAfterTheClose) {
  const auto narrator = std::make_shared<Narrator>();
  auto& server = Create(narrator->OneLine(), WithMaxConnections(1));
  narrator->set_server(server);
  RawClient c1 = ConnectedClient(server);
  RunUntil([&] { return !narrator->events().empty(); });
  EXPECT_EQ(TakeLog().size(), 1u);
  RawClient c2 = ConnectedClient(server);
  Settle();
  EXPECT_EQ(narrator->Take(), Events({"#1 called, 1"}));
  EXPECT_EQ(c1.Send("\n"), "ok");
  RunUntil([&] { return narrator->events().size() == 4; });
  EXPECT_EQ(narrator->Take(),
            Events({"#1 returns, 1", "#1 writer close_finished, 1",
                    "#1 reader close_finished, 1", "#2 called, 1"}));
  EXPECT_EQ(c1.Receive(), "EOF");
  EXPECT_EQ(c2.Peek(), "nothing");
  EXPECT_FALSE(server.is_closed());
  EXPECT_EQ(server.num_connections(), 1);
}

// In the order of arrival, which the first line of each client tells.
TEST_F(ServerTest, C4a_PendingClientsAreServedInTheirOrder) {
  for (const int batch : {1, 2, 16}) {
    const auto narrator = std::make_shared<Narrator>();
    ServerOptions options = WithMaxConnections(10);
    options.max_accepts_per_batch = batch;
    auto& server = Create(narrator->Echo(), options);
    narrator->set_server(server);
    std::vector<RawClient> clients;
    for (int i = 1; i <= 5; ++i) {
      clients.push_back(ConnectedClient(server));
      EXPECT_EQ(clients.back().Send("client " + std::to_string(i) + "\n"),
                "ok");
    }
    EXPECT_EQ(server.num_connections(), 0);  // The loop has not run.
    RunUntil([&] { return narrator->events().size() == 5; });
    for (int i = 1; i <= 5; ++i) {
      const std::string n = std::to_string(i);
      EXPECT_EQ(narrator->events()[i - 1].substr(0, 9), "#" + n + " called");
      EXPECT_EQ(clients[i - 1].Receive(), "#" + n + " client " + n + "\n");
    }
    EXPECT_EQ(server.num_connections(), 5);
    clients.clear();
    WaitForNoConnections(server);
  }
}

TEST_F(ServerTest, C4b_ABatchEndsAtTheLimit) {
  const auto narrator = std::make_shared<Narrator>();
  ServerOptions options = WithMaxConnections(2);
  options.max_accepts_per_batch = 3;
  auto& server = Create(narrator->Echo(), options);
  narrator->set_server(server);
  std::vector<RawClient> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(ConnectedClient(server));
  Settle();
  EXPECT_EQ(narrator->events().size(), 2u);
  EXPECT_EQ(TakeLog().size(), 1u);
  EXPECT_EQ(server.num_connections(), 2);
  EXPECT_EQ(server.any_server().accepted_total(), 2);
  // As slots get free, the others follow in their order.
  for (int i = 0; i < 5; ++i) {
    const std::string n = std::to_string(i + 1);
    EXPECT_EQ(clients[i].Send("x\n"), "ok");
    EXPECT_EQ(clients[i].Receive(), "#" + n + " x\n");
    clients[i].Close();
  }
  WaitForNoConnections(server);
  EXPECT_EQ(server.any_server().accepted_total(), 5);
}

// CONFORMANCE S5: the limit holds in every step, for the descriptors too:
// accept(2) is not called without a free slot.
TEST_F(ServerTest, TheLimitIsExactInEveryStep) {
  constexpr int kClients = 12;
  for (const int batch : {1, 2, 16}) {
    for (const int limit : {1, 3, 6}) {
      const auto narrator = std::make_shared<Narrator>();
      ServerOptions options = WithMaxConnections(limit);
      options.max_accepts_per_batch = batch;
      auto& server = Create(narrator->OneLine(), options);
      narrator->set_server(server);
      std::vector<RawClient> clients;
      for (int i = 0; i < kClients; ++i) {
        clients.push_back(ConnectedClient(server));
        // Every second one ends its handler at once, the others wait.
        if (i % 2 == 0) EXPECT_EQ(clients.back().Send("\n"), "ok");
      }
      const int before = CountDescriptors();
      int most = 0;
      auto step_until_idle = [&] {
        while (loop().restart(), loop().poll_one() > 0) {
          EXPECT_LE(server.num_connections(), limit);
          EXPECT_LE(CountDescriptors() - before, limit);
          most = std::max(most, server.num_connections());
        }
      };
      step_until_idle();
      for (int i = 1; i < kClients; i += 2) {
        EXPECT_EQ(clients[i].Send("\n"), "ok");
        step_until_idle();
      }
      EXPECT_EQ(most, limit) << "batch " << batch;
      EXPECT_EQ(server.num_connections(), 0);
      EXPECT_EQ(server.any_server().accepted_total(), kClients);
      TakeLog();
    }
  }
}

// CONFORMANCE S5.
TEST_F(ServerTest, TheLimitIsReportedAtMostOnceAMinute) {
  auto& server = Create(Echo(), WithMaxConnections(1));
  size_t calls = 0;
  auto reach_the_limit = [&] {
    RawClient client = ConnectedClient(server);
    WaitForCall(calls++);
    client.Close();
    WaitForNoConnections(server);
    return TakeLog();
  };
  const std::vector<std::string> log = reach_the_limit();
  ASSERT_EQ(log.size(), 1u);
  EXPECT_NE(log[0].find("max_connections 1"), std::string::npos) << log[0];
  EXPECT_NE(log[0].find(ToString(AnyAddress(server.listening_on_address()))),
            std::string::npos)
      << log[0];
  EXPECT_EQ(reach_the_limit().size(), 0u);
  time().Advance(std::chrono::seconds(60) - std::chrono::nanoseconds(1));
  EXPECT_EQ(reach_the_limit().size(), 0u);
  time().Advance(std::chrono::nanoseconds(1));
  EXPECT_EQ(reach_the_limit().size(), 1u);
  EXPECT_EQ(reach_the_limit().size(), 0u);
}

// CONFORMANCE S5; the original takes the larger of the two.
TEST(MaxConnectionsTest, TheDefaultLeavesDescriptorsFree) {
  rlimit old;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
  rlimit limit = old;
  limit.rlim_cur = 200;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(DefaultMaxConnections(), 180);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
  if (old.rlim_max < 20000) return;
  limit.rlim_cur = 20000;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(DefaultMaxConnections(), 10000);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
}

}  // namespace
}  // namespace portreeve::testing
