// Where epoll takes no more sockets, and there is no memory to say so.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "lib/base/descriptor.h"
#include "lib/serve/any_server.h"
#include "server/handlers/handlers.h"
#include "tests/testing/in_child.h"
#include "tests/testing/refused_call.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::testing {
namespace {

Descriptor ConnectedTo(const AnyAddress& address) {
  const auto& inet = std::get<Inet::Address>(address);
  Descriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect(fd.get(), inet.data(), static_cast<socklen_t>(inet.size())),
            0);
  return fd;
}

Task<> Nothing() { co_return; }

AnyHandler Coroutine() {
  CoroutineHandler handler;
  handler.run = [](StreamConnection&) -> Task<> { return Nothing(); };
  return handler;
}

// In a process that ends without tearing anything down.
void ExpectPlaces(AnyHandler (*make_handler)()) {
  constexpr int kMost = 60;
  auto* const loop = new asio::io_context(1);
  DescriptorBudget budget(10);
  ServerOptions options;
  options.max_connections = 1;
  options.descriptor_budget = &budget;
  // One for each time, for what is told is told once a minute.
  std::vector<AnyServer*> servers;
  for (int i = 0; i < kMost; ++i) {
    auto created = AnyServer::Create<Inet>(
        Executor(loop->get_executor()), WhereToListen<Inet>::OfLocalhost(0),
        IgnoreHandlerError(), make_handler(), options);
    ASSERT_TRUE(created.ok()) << created.status();
    servers.push_back(created->release());
  }
  SettleWithoutMemory(*loop);
  ASSERT_TRUE(RefuseToWatch(ENOSPC));
  bool refused = true;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, kMost);
    const AnyServer& server = *servers[given];
    const Descriptor client = ConnectedTo(server.listening_on());
    refused = SettleWithMemory(*loop, given);
    SettleWithoutMemory(*loop);
    EXPECT_EQ(server.num_connections(), 0);
    EXPECT_EQ(budget.num_free(), 10);
    EXPECT_EQ(server.dropped_total(), server.accepted_total());
    EXPECT_FALSE(server.is_closed());
  }
}

TEST(UnwatchedNoMemoryTest, AClientOfACoroutineLeavesItsPlace) {
  InChild([] { ExpectPlaces(&Coroutine); });
}

TEST(UnwatchedNoMemoryTest, AClientOfADirectHandlerLeavesItsPlace) {
  InChild([] { ExpectPlaces(&server::EchoHandler); });
}

}  // namespace
}  // namespace portreeve::testing
