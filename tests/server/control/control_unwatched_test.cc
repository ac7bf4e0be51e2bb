// Clients of the control plane where epoll takes no more sockets.
#include <gtest/gtest.h>

#include <cerrno>
#include <thread>
#include <variant>

#include "lib/base/log.h"
#include "tests/server/control_acceptor_fixture.h"
#include "tests/server/plain_socket.h"
#include "tests/testing/descriptors.h"
#include "tests/testing/refused_call.h"

namespace portreeve::server {
namespace {

using testing::CountDescriptors;
using testing::PlainClient;

TEST(ControlUnwatchedTest, OneThatIsNotWatchedIsDroppedAndLeavesNothing) {
  SetLogSink([](const LogLine&) {});
  // What is refused is so for good, to this thread.
  std::thread([] {
    asio::io_context loop(1);
    const FakeTimeSource time(loop);
    ControlTable table;
    ControlMemory memory{int64_t{1} << 50, [] { return int64_t{0}; }};
    ControlAcceptor::Limits limits;
    limits.max_connections = 1;
    ControlAcceptor acceptor(Executor(loop.get_executor()), limits, false,
                             table, memory);
    ASSERT_TRUE(acceptor.Listen({kLoopback}).ok());
    int num_given = 0;
    ASSERT_TRUE(acceptor.Start([&](int, bool) { ++num_given; }).ok());
    const int port = std::get<Inet::Address>(acceptor.addresses().at(0)).port();
    loop.poll();
    ASSERT_TRUE(testing::RefuseToWatch(ENOSPC));
    const int descriptors = CountDescriptors();
    for (int i = 0; i < 3; ++i) {
      PlainClient client(port);
      do {
        loop.restart();
      } while (loop.poll() > 0);
      EXPECT_EQ(CountDescriptors(), descriptors + 1);
      EXPECT_NE(client.Receive(), "");
    }
    EXPECT_EQ(num_given, 0);
    acceptor.Close();
    loop.restart();
    loop.poll();
  }).join();
  SetLogSink(nullptr);
}

}  // namespace
}  // namespace portreeve::server
