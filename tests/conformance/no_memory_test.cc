// A server that gets no memory, once, anywhere between a client's connect and
// its first answer.
#include <sys/socket.h>

#include <chrono>
#include <functional>
#include <memory>
#include <new>
#include <utility>

#include "lib/lane/lane.h"
#include "lib/serve/any_server.h"
#include "tests/testing/loop_fixture.h"
#include "tests/testing/raw_client.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::testing {
namespace {

// Sends back what comes.
class Repeater final : public DirectConnection {
 public:
  explicit Repeater(Accepted accepted)
      : DirectConnection(std::move(accepted)) {}

 private:
  void Begin() override { space_ = std::make_unique<Space>(); }
  void OnReady(uint32_t, int) override {
    if (finished()) return;
    const ssize_t size = recv(fd(), space_->bytes, sizeof space_->bytes, 0);
    if (size < 0) return;
    if (size == 0) {
      NoteReason(CloseReason::kPeerClosed);
      return Finish(How::kAfterEnd);
    }
    EXPECT_EQ(send(fd(), space_->bytes, size, MSG_NOSIGNAL), size);
  }
  void CloseInOrder(CloseReason) override { Finish(How::kInOrder); }
  void CloseWithReset() override { Finish(How::kReset); }
  void OnRing(TimePoint) override {}

  struct Space {
    char bytes[64];
  };
  std::unique_ptr<Space> space_;
};

enum class Kind { kDirect, kDirectElsewhere, kCoroutine, kCoroutineOnSocket };

class NoMemoryTest : public LoopFixture,
                     public ::testing::WithParamInterface<Kind> {
 protected:
  static constexpr int kBudget = 3;

  NoMemoryTest() : lanes_(Lane::Of(loop())) {
    (void)lanes_.Take();  // So that the other one has fewer.
    lanes_.Add(Lane::Of(away_));
  }

  std::unique_ptr<AnyServer> NewServer() {
    ServerOptions options;
    if (GetParam() == Kind::kDirectElsewhere) options.lanes = &lanes_;
    options.max_connections = 1;
    options.descriptor_budget = &budget_;
    auto server =
        AnyServer::Create(executor(), WhereToListen<Inet>::OfLocalhost(0),
                          IgnoreHandlerError(), NewHandler(), options);
    EXPECT_TRUE(server.ok()) << server.status();
    return *std::move(server);
  }

  static AnyHandler NewHandler() {
    if (GetParam() == Kind::kCoroutine ||
        GetParam() == Kind::kCoroutineOnSocket) {
      CoroutineHandler handler;
      handler.run = GetParam() == Kind::kCoroutine ? &Repeat : &RepeatOnSocket;
      handler.streams = GetParam() == Kind::kCoroutine
                            ? StreamConnection::Streams::kYes
                            : StreamConnection::Streams::kNo;
      return handler;
    }
    DirectHandler handler;
    handler.make = [](DirectConnection::Accepted accepted) {
      return std::make_shared<Repeater>(std::move(accepted));
    };
    return handler;
  }
  static Task<> Repeat(StreamConnection& connection) {
    for (;;) {
      char bytes[64];
      const size_t size = co_await connection.reader().Read(bytes);
      if (size == 0) co_return;
      connection.writer().Write(std::string(bytes, size));
    }
  }
  static Task<> RepeatOnSocket(StreamConnection& connection) {
    SocketCore& socket = *connection.socket();
    for (;;) {
      char bytes[64];
      co_await socket.socket().async_wait(StreamSocket::wait_read, kAwait);
      const ssize_t size =
          recv(socket.socket().native_handle(), bytes, sizeof bytes, 0);
      if (size <= 0) co_return;
      EXPECT_EQ(send(socket.socket().native_handle(), bytes,
                     static_cast<size_t>(size), MSG_NOSIGNAL),
                size);
    }
  }

  void RunBothUntil(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kDeadline;
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      (void)PollOne(loop());
      (void)PollOne(away_);
    }
  }

  RawClient ClientOf(const AnyServer& server) {
    RawClient client(loop(), [this](const std::function<bool()>& condition) {
      RunBothUntil(condition);
      return condition();
    });
    EXPECT_EQ(client.Connect(server.listening_on()), "ok");
    return client;
  }

  // Runs whatever is ready, as loops whose thread survives what is thrown.
  // False if memory was asked for no more than `given` times.
  bool SettleWithMemory(int given, int num_refusals = 1) {
    RefuseMemoryAfter(given, num_refusals);
    while (PollOne(loop()) || PollOne(away_)) {
    }
    return GiveMemoryAgain();
  }

  DescriptorBudget budget_{kBudget};
  asio::io_context away_{1};
  LaneSet lanes_;

  // Memory is refused `num_refusals` times in a row, each time later.  Gives
  // how many clients were lost.
  int LoseOneAfterTheOther(int num_refusals);
};

int NoMemoryTest::LoseOneAfterTheOther(int num_refusals) {
  bool refused = true;
  int num_lost = 0;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    EXPECT_LT(given, 1000);
    if (HasFailure()) break;
    const std::unique_ptr<AnyServer> server = NewServer();
    Settle();
    {
      RawClient client = ClientOf(*server);
      refused = SettleWithMemory(given, num_refusals);
      if (server->connections().empty()) {
        ++num_lost;
        EXPECT_TRUE(refused);
        EXPECT_NE(client.Receive(), "x");
      } else {
        EXPECT_EQ(client.Send("x"), "ok");
        EXPECT_EQ(client.Receive(), "x");
      }
    }
    RunBothUntil([&] { return server->num_connections() == 0; });
    EXPECT_TRUE(server->connections().empty());
    EXPECT_EQ(budget_.num_free(), kBudget);
    RawClient next = ClientOf(*server);
    EXPECT_EQ(next.Send("x"), "ok");
    EXPECT_EQ(next.Receive(), "x");
    Start(server->TearDown());
    RunBothUntil([&] { return tasks().empty(); });
    (void)TakeErrors();
    (void)TakeLog();
  }
  return num_lost;
}

TEST_P(NoMemoryTest, OneClientIsLostAndTheNextOneServed) {
  const int num_lost = LoseOneAfterTheOther(1);
  switch (GetParam()) {
    // Of those that were not even begun, and of one that was; on the way to
    // another loop there is one more.
    case Kind::kDirect:
      EXPECT_EQ(num_lost, 3);
      break;
    case Kind::kDirectElsewhere:
      EXPECT_EQ(num_lost, 4);
      break;
    default:
      EXPECT_GT(num_lost, 0);
  }
}

TEST_P(NoMemoryTest, SoItIsWhereMemoryIsRefusedAgain) {
  for (const int num_refusals : {2, 3, 10}) {
    SCOPED_TRACE(num_refusals);
    EXPECT_GT(LoseOneAfterTheOther(num_refusals), 0);
  }
}

// It is nobody's error, whatever is done about errors.
class HandlerNoMemoryTest : public LoopFixture {};

TEST_F(HandlerNoMemoryTest,
       AHandlerWithoutMemoryCostsItsClientAndNotTheListener) {
  CoroutineHandler handler;
  bool has_memory = false;
  handler.run = [&has_memory](StreamConnection&) -> Task<> {
    if (!has_memory) throw std::bad_alloc();
    co_return;
  };
  auto server =
      AnyServer::Create(executor(), WhereToListen<Inet>::OfLocalhost(0),
                        RaiseHandlerError(), handler, ServerOptions());
  ASSERT_TRUE(server.ok()) << server.status();
  const auto run = [this](const auto& f) { return RunUntil(f); };
  for (int i = 0; i < 2; ++i) {
    RawClient client(loop(), run);
    EXPECT_EQ(client.Connect((*server)->listening_on()), "ok");
    // What is cut does not look whole.
    EXPECT_EQ(client.Receive(), has_memory ? "EOF" : "ECONNRESET");
    EXPECT_FALSE((*server)->is_closed());
    EXPECT_EQ((*server)->out_of_memory_total(), 1);
    EXPECT_EQ((*server)->handler_errors_total(), 0);
    has_memory = true;
  }
  EXPECT_EQ(TakeErrors().size(), 1u);
  Run((*server)->TearDown());
}

// Where the server's own loop carries the clients, and where another one does;
// the test is the thread of both.
INSTANTIATE_TEST_SUITE_P(, NoMemoryTest,
                         ::testing::Values(Kind::kDirect,
                                           Kind::kDirectElsewhere,
                                           Kind::kCoroutine,
                                           Kind::kCoroutineOnSocket));

}  // namespace
}  // namespace portreeve::testing
