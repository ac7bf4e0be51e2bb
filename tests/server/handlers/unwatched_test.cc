// Where epoll takes no more sockets, for want of memory or of watches.
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/descriptor.h"
#include "lib/base/loop.h"
#include "lib/base/status.h"
#include "lib/lane/lane.h"
#include "lib/serve/any_server.h"
#include "server/handlers/handlers.h"
#include "tests/testing/descriptors.h"
#include "tests/testing/in_child.h"
#include "tests/testing/refused_call.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

class Notes : public ServerObserver {
 public:
  int num_accepted = 0;
  int num_closed = 0;
  std::vector<CloseReason> closed;
  std::vector<CloseReason> dropped;
  std::vector<AnyAddress> peers;
  std::vector<int> errors;

 private:
  void OnAccepted(const std::shared_ptr<AnyConnection>&) override {
    ++num_accepted;
  }
  void OnClosed(const std::shared_ptr<AnyConnection>& connection) override {
    ++num_closed;
    closed.push_back(connection->reason());
  }
  void OnDropped(const AnyConnection& connection) override {
    EXPECT_FALSE(connection.is_open());
    dropped.push_back(connection.reason());
    peers.push_back(connection.peer());
  }
  void OnAcceptFailed(const AnyAddress&, int error_number, int64_t) override {
    errors.push_back(error_number);
  }
};

Descriptor ConnectedTo(const AnyAddress& address) {
  const auto& inet = std::get<Inet::Address>(address);
  Descriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect(fd.get(), inet.data(), static_cast<socklen_t>(inet.size())),
            0);
  return fd;
}

AnyAddress LocalOf(const Descriptor& fd) {
  Inet::Address address;
  auto size = static_cast<socklen_t>(address.capacity());
  EXPECT_EQ(getsockname(fd.get(), address.data(), &size), 0);
  return address;
}

Task<> Nothing() { co_return; }

AnyHandler Coroutine() {
  CoroutineHandler handler;
  handler.run = [](StreamConnection&) -> Task<> { return Nothing(); };
  return handler;
}

absl::StatusOr<std::unique_ptr<AnyServer>> Create(asio::io_context& loop,
                                                  AnyHandler handler,
                                                  ServerOptions options = {}) {
  return AnyServer::Create<Inet>(
      Executor(loop.get_executor()), WhereToListen<Inet>::OfLocalhost(0),
      IgnoreHandlerError(), std::move(handler), options);
}

// In a process that ends without tearing anything down.
void ExpectDropped(AnyHandler handler) {
  auto* const loop = new asio::io_context(1);
  auto* const notes = new Notes;
  DescriptorBudget budget(10);
  ServerOptions options;
  options.observer = notes;
  options.max_connections = 1;
  options.descriptor_budget = &budget;
  auto created = Create(*loop, std::move(handler), options);
  ASSERT_TRUE(created.ok()) << created.status();
  AnyServer& server = *created->release();
  ASSERT_TRUE(RefuseToWatch(ENOSPC));
  for (int i = 1; i <= 3; ++i) {
    const Descriptor client = ConnectedTo(server.listening_on());
    while (server.dropped_total() < i && loop->run_one() > 0) {
    }
    EXPECT_EQ(server.dropped_total(), i);
    EXPECT_EQ(server.accepted_total(), i);
    char byte;
    EXPECT_EQ(recv(client.get(), &byte, 1, 0), 0);  // An end of file.
    ASSERT_EQ(notes->peers.size(), static_cast<size_t>(i));
    EXPECT_EQ(notes->peers.back(), LocalOf(client));
  }
  EXPECT_EQ(notes->dropped, std::vector<CloseReason>(3, CloseReason::kDropped));
  EXPECT_EQ(notes->num_accepted, 0);
  EXPECT_EQ(notes->num_closed, 0);
  // At most once a minute.
  EXPECT_EQ(notes->errors, std::vector<int>{ENOSPC});
  EXPECT_EQ(server.num_connections(), 0);
  EXPECT_EQ(budget.num_free(), 10);
  EXPECT_FALSE(server.is_closed());
}

TEST(UnwatchedTest, AClientOfACoroutineIsDropped) {
  InChild([] { ExpectDropped(Coroutine()); });
}

TEST(UnwatchedTest, AClientOfADirectHandlerIsDropped) {
  InChild([] { ExpectDropped(server::EchoHandler()); });
  InChild([] { ExpectDropped(server::DiscardHandler()); });
}

// The server cannot wait for the other loop before it tells of the client.
TEST(UnwatchedTest, AClientOfAnotherLoopIsClosedAsDropped) {
  InChild([] {
    auto* const loop = new asio::io_context(1);
    auto* const notes = new Notes;
    auto* const other = new Loop;
    auto* const lanes = new LaneSet(Lane::Of(*loop));
    auto prepare = [other] {
      Lane& lane = Lane::Of(other->context());
      EXPECT_TRUE(RefuseToWatch(ENOSPC));
      return &lane;
    };
    lanes->Add(*other->Run(prepare).get());
    ServerOptions options;
    options.observer = notes;
    options.lanes = lanes;
    auto created = Create(*loop, server::EchoHandler(), options);
    ASSERT_TRUE(created.ok()) << created.status();
    AnyServer& server = *created->release();
    const Descriptor first = ConnectedTo(server.listening_on());
    const Descriptor second = ConnectedTo(server.listening_on());
    while (notes->closed.empty() && loop->run_one() > 0) {
    }
    char byte;
    EXPECT_EQ(recv(second.get(), &byte, 1, 0), 0);
    EXPECT_EQ(notes->closed, std::vector{CloseReason::kDropped});
    EXPECT_EQ(notes->num_accepted, 2);
    EXPECT_EQ(notes->errors, std::vector<int>{ENOSPC});
    EXPECT_EQ(server.dropped_total(), 1);
    EXPECT_EQ(server.num_connections(), 1);  // That of the server's own loop.
  });
}

TEST(UnwatchedTest, AListenerIsRefused) {
  InChild([] {
    asio::io_context loop{1};
    (void)Lane::Of(loop);
    ASSERT_TRUE(RefuseToWatch(ENOSPC));
    const auto server = Create(loop, server::EchoHandler());
    ASSERT_FALSE(server.ok());
    EXPECT_EQ(DetailOf(server.status()).error_number, ENOSPC);
    EXPECT_NE(DetailOf(server.status()).address, "");
  });
}

TEST(UnwatchedTest, ALoopWithoutEpollIsAnError) {
  for (const int call : {SYS_epoll_create1, SYS_epoll_ctl}) {
    InChild([call] {
      ASSERT_TRUE(RefuseCall(call, ENOMEM));
      asio::io_context loop{1};
      const auto server = Create(loop, server::EchoHandler());
      ASSERT_FALSE(server.ok());
      EXPECT_EQ(DetailOf(server.status()).error_number, ENOMEM);
    });
  }
}

TEST(UnwatchedTest, WithFewDescriptorsNothingIsThrown) {
  int num_refused = 0;
  bool succeeds = false;
  for (int left = 0; !succeeds; ++left) {
    ASSERT_LT(left, 20);
    asio::io_context loop{1};
    const int before = CountDescriptors();
    {
      const FewDescriptors few(left);
      const auto server = Create(loop, server::EchoHandler());
      succeeds = server.ok();
      if (succeeds) {
        TaskScope scope{Executor(loop.get_executor())};
        scope.Spawn((*server)->TearDown());
        loop.run();
        break;
      }
      ++num_refused;
      EXPECT_EQ(DetailOf(server.status()).reason, Reason::kFdLimit)
          << server.status();
    }
    EXPECT_LE(CountDescriptors(), before + left);
  }
  EXPECT_GE(num_refused, 3);
}

}  // namespace
}  // namespace portreeve::testing
