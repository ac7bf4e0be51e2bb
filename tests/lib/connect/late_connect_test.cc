// An attempt that is connected between the last look at it and its close.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <ctime>
#include <functional>
#include <optional>

#include "lib/connect/extra_attempts.h"
#include "tests/lib/connect_sock_fixture.h"

namespace {

// Called after a look at `watched_fd` that has found nothing.
std::function<void()> after_look;
int watched_fd = -1;

int PollByKernel(pollfd* fds, nfds_t count, int milliseconds) {
  const timespec timeout{milliseconds / 1000, milliseconds % 1000 * 1'000'000L};
  return static_cast<int>(syscall(SYS_ppoll, fds, count,
                                  milliseconds < 0 ? nullptr : &timeout,
                                  nullptr, size_t{_NSIG / 8}));
}

}  // namespace

// Of the process, whoever calls it.
extern "C" int PollOfThisTest(pollfd* fds, nfds_t count,
                              int milliseconds) __asm__("poll");
extern "C" int PollOfThisTest(pollfd* fds, nfds_t count, int milliseconds) {
  const int result = PollByKernel(fds, count, milliseconds);
  if (result == 0 && milliseconds == 0 && count == 1 && after_look &&
      fds->fd == watched_fd) {
    std::exchange(after_look, nullptr)();
  }
  return result;
}

namespace portreeve::testing {
namespace {

TEST_F(ConnectSockTest, OneThatMakesRoomIsResetIfItIsConnectedByThen) {
  ExtraAttempts all;
  while (all.Take()) {
  }
  auto [hole, acceptor] = HoleAndListener("127.0.0.2", "127.0.0.3");
  BlackHole& slow = hole;
  resolver_.Answer(Family::kV6, {});
  resolver_.Answer(Family::kV4, {A("127.0.0.2"), A("127.0.0.3")});
  ConnectOptions options = Options();
  options.around_connect = [](const Inet::Address&,
                              absl::FunctionRef<int()> connect) {
    const int fd = connect();
    if (watched_fd < 0) watched_fd = fd;
  };
  InetRunner runner(loop_, Connect("two.example", slow.port(), options));
  RunReady();
  std::optional<asio::ip::tcp::socket> client;
  after_look = [&] {
    slow.Drain();
    pollfd connected{watched_fd, POLLOUT, 0};
    // When the kernel sends the SYN again.
    EXPECT_EQ(PollByKernel(&connected, 1, 20'000), 1);
    client.emplace(slow.Accept());
  };
  time_.Advance(milliseconds(250));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().peer_address().address(), A("127.0.0.3"));
  ASSERT_TRUE(client.has_value());
  error_code ec;
  char byte;
  client->read_some(asio::buffer(&byte, 1), ec);
  EXPECT_EQ(ec, asio::error::connection_reset);
}

}  // namespace
}  // namespace portreeve::testing
