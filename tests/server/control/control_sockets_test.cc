// What ControlAcceptor makes of the sockets of clients: by default, of unix
// sockets, and of those that have gone.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <variant>

#include "tests/server/control_acceptor_fixture.h"

namespace portreeve::server {
namespace {

using std::chrono::milliseconds;
using testing::TemporaryFolder;

class ControlSocketsTest : public ControlAcceptorTest {
 protected:
  // One that listens on a file.
  void StartUnix() {
    Make({});
    Listen(Unix::Address(folder_.File("control")));
    Start();
  }

  // Client number `number` sends what gRPC makes no call of.
  void SendNothing(size_t number) {
    EXPECT_EQ(clients_.at(number)->Send("x"), "ok");
    Settle();
    char read;
    EXPECT_EQ(recv(given_.at(number).fd, &read, 1, MSG_DONTWAIT), 1);
    time().Advance(milliseconds(25));
    Settle();
  }

  const TemporaryFolder folder_;
};

int OptionOf(int fd, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  EXPECT_EQ(getsockopt(fd, IPPROTO_TCP, option, &value, &size), 0);
  return value;
}

TEST_F(ControlSocketsTest, ThoseOfTcpAreLikeThoseThatGrpcAccepts) {
  StartOne({});
  ConnectAndAwait();
  EXPECT_EQ(OptionOf(given_[0].fd, TCP_NODELAY), 1);
  EXPECT_EQ(OptionOf(given_[0].fd, TCP_USER_TIMEOUT), 10'000);
}

TEST_F(ControlSocketsTest, OnlyItsOwnerMayConnectToAFile) {
  StartUnix();
  struct stat file {};
  ASSERT_EQ(stat(folder_.File("control").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
}

// Connects to the abstract name as another user, in a child of fork(2).  Gives
// 'y' where the other side then closes it, 'n' where it does not, and 's' where
// there is no other user.
char TurnsAway(const std::string& name, asio::io_context& loop,
               const std::function<bool(const std::function<bool()>&)>& run) {
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const Unix::Address address(name);
  const pid_t pid = fork();
  if (pid == 0) {
    char answer = 's';
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    constexpr uid_t kNobody = 65534;
    if (setuid(kNobody) == 0) {
      char byte;
      const bool is_closed =
          connect(fd, address.data(), static_cast<socklen_t>(address.size())) ==
              0 &&
          recv(fd, &byte, 1, 0) == 0;
      answer = is_closed ? 'y' : 'n';
    }
    (void)!write(ends[1], &answer, 1);
    _exit(0);
  }
  bool has_answer = false;
  asio::posix::stream_descriptor end(loop, ends[0]);
  end.async_wait(asio::posix::stream_descriptor::wait_read,
                 [&](error_code) { has_answer = true; });
  EXPECT_TRUE(run([&] { return has_answer; }));
  char answer = 0;
  EXPECT_EQ(recv(ends[0], &answer, 1, MSG_DONTWAIT), 1);
  close(ends[1]);
  EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
  return answer;
}

TEST_F(ControlSocketsTest, AnAbstractNameIsForRootAndTheDaemonsOwnUser) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const std::string name =
      std::string(1, '\0') + "portreeve-test-" + std::to_string(getpid());
  Make({});
  Listen(Unix::Address(name));
  Start();
  ConnectAndAwait();
  const char answer = TurnsAway(name, loop(), [this](const auto& condition) {
    return RunUntil(condition);
  });
  if (answer == 's') GTEST_SKIP() << "there is no other user here";
  EXPECT_EQ(answer, 'y');
  EXPECT_EQ(given_.size(), 1u);
  const auto log = TakeLog();
  ASSERT_EQ(log.size(), 1u);
  EXPECT_NE(log[0].find("user 65534 is neither the daemon's own nor root"),
            std::string::npos)
      << log[0];
  ConnectAndAwait();
}

TEST_F(ControlSocketsTest, AHundredMaySayNothing) {
  StartOne({});
  for (int i = 0; i < 100; ++i) ConnectAndAwait();
  for (const auto& client : clients_) EXPECT_EQ(Seen(*client), "nothing");
  ConnectAndAwait();
  EXPECT_EQ(clients_[0]->Receive(), "ECONNRESET");
  EXPECT_EQ(Seen(*clients_[1]), "nothing");
}

// Nobody counts the bytes of a unix socket.
TEST_F(ControlSocketsTest, WhatComesWithoutACallIsActivityOfAUnixSocket) {
  StartUnix();
  RawClient& silent = ConnectAndAwait();
  RawClient& sends = ConnectAndAwait();
  // Each stands for 1 KiB.
  constexpr int kEnough =
      ControlActivity::kFreeArrivals +
      ControlTable::kLeastActivity / ControlActivity::kWeightOfArrival;
  for (int i = 0; i < kEnough; ++i) SendNothing(1);
  table_.ShutDownBusiest(ControlTable::Whom::kAllAsBusy, "so says the test");
  EXPECT_EQ(sends.Receive(), "EOF");
  EXPECT_EQ(Seen(silent), "nothing");
  (void)TakeLog();
}

TEST_F(ControlSocketsTest, WhatAUnixSocketHasReceivedIsThrownAway) {
  StartUnix();
  RawClient& client = ConnectAndAwait();
  EXPECT_EQ(client.Send(std::string(50'000, 'x')), "ok");
  table_.ShutDown(*Plain(0), "so says the test");
  char byte;
  EXPECT_EQ(recv(given_[0].fd, &byte, 1, MSG_DONTWAIT), 0);
  (void)TakeLog();
}

TEST_F(ControlSocketsTest, ThoseThatHaveGoneAreForgottenInTheEnd) {
  StartOne({}, true);
  const auto come_and_go = [this] {
    RawClient& client = ConnectAndAwait();
    const auto port = std::get<Inet::Address>(client.local_address()).port();
    EndGiven(given_.size() - 1);
    client.Close();
    Settle();
    return table_.Find("ipv4:127.0.0.1:" + std::to_string(port));
  };
  const std::weak_ptr<ControlConnection> first = come_and_go();
  EXPECT_FALSE(first.expired());
  for (size_t i = 0; i < ControlTable::kMostEnded; ++i) (void)come_and_go();
  EXPECT_TRUE(first.expired());
}

}  // namespace
}  // namespace portreeve::server
