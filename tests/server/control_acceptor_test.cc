// ControlAcceptor, with the test in gRPC's place, and a clock that the test
// moves.
#include "server/control_acceptor.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/descriptors.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::FewDescriptors;
using testing::RawClient;
using testing::TemporaryFolder;

const AnyAddress kLoopback =
    Inet::Address(asio::ip::make_address("127.0.0.1"), 0);

class ControlAcceptorTest : public testing::LoopFixture {
 protected:
  // What gRPC would have: it ends as gRPC's connections do.
  struct Given {
    int fd;
    bool is_unix;
  };

  ~ControlAcceptorTest() override {
    for (const Given& given : given_) End(given);
    if (acceptor_) acceptor_->Close();
  }

  void Make(const ControlAcceptor::Limits& limits, bool secure = false) {
    acceptor_ = std::make_unique<ControlAcceptor>(executor(), limits, secure,
                                                  table_, memory_);
  }
  void Listen(const AnyAddress& address) {
    const absl::Status status = acceptor_->Listen(address);
    ASSERT_TRUE(status.ok()) << status;
  }
  void Start() {
    acceptor_->Start([this](int fd, bool is_unix) {
      given_.push_back({fd, is_unix});
    });
  }
  // One that listens on loopback.
  void StartOne(const ControlAcceptor::Limits& limits, bool secure = false) {
    Make(limits, secure);
    Listen(kLoopback);
    Start();
  }

  // One more client, of the address number `index`; waits for the kernel only.
  RawClient& Connect(size_t index = 0) {
    clients_.push_back(std::make_unique<RawClient>(
        loop(), [this](const auto& condition) { return RunUntil(condition); }));
    EXPECT_EQ(clients_.back()->Connect(acceptor_->addresses().at(index)), "ok");
    return *clients_.back();
  }
  // Waits until as many were handed over, ever.
  bool AwaitGiven(size_t count) {
    return RunUntil([&] { return given_.size() >= count; });
  }
  // One that is handed over.
  RawClient& ConnectAndAwait(size_t index = 0) {
    const size_t before = given_.size();
    RawClient& client = Connect(index);
    EXPECT_TRUE(AwaitGiven(before + 1));
    return client;
  }

  std::shared_ptr<ControlConnection> Plain(size_t number) {
    return table_.Find("fd:" + std::to_string(given_.at(number).fd));
  }
  static void End(const Given& given) {
    if (given.fd < 0) return;
    (void)shutdown(given.fd, SHUT_RDWR);
    close(given.fd);
  }
  void EndGiven(size_t number) {
    End(given_.at(number));
    given_.at(number).fd = -1;
  }
  // "nothing" where it is open.
  static std::string Seen(RawClient& client) { return client.Peek(); }

  ControlTable table_;
  ControlMemory memory_{int64_t{1} << 50, [] { return int64_t{0}; }};
  std::vector<Given> given_;
  std::vector<std::unique_ptr<RawClient>> clients_;
  std::unique_ptr<ControlAcceptor> acceptor_;
};

TEST_F(ControlAcceptorTest, HandsClientsOverAndKnowsThem) {
  const TemporaryFolder folder;
  Make({});
  Listen(kLoopback);
  Listen(Unix::Address(folder.File("control")));
  Start();
  RawClient& tcp = ConnectAndAwait(0);
  ConnectAndAwait(1);
  EXPECT_FALSE(given_[0].is_unix);
  EXPECT_TRUE(given_[1].is_unix);
  ASSERT_NE(Plain(0), nullptr);
  ASSERT_NE(Plain(1), nullptr);
  const auto port = std::get<Inet::Address>(tcp.local_address()).port();
  EXPECT_EQ(Plain(0)->Who(), "ipv4:127.0.0.1:" + std::to_string(port));
  EXPECT_EQ(Plain(0)->Identity(), "ipv4:127.0.0.1");
  EXPECT_EQ(Plain(1)->Identity(), "unix:uid=" + std::to_string(getuid()));
  EXPECT_FALSE(Plain(0)->is_secure());
}

TEST_F(ControlAcceptorTest, WithTlsConnectionsAreKnownByTheirAddresses) {
  const TemporaryFolder folder;
  Make({}, true);
  Listen(kLoopback);
  Listen(Inet::Address(asio::ip::make_address("::1"), 0));
  Listen(Unix::Address(folder.File("control")));
  Start();
  const auto port_of = [](RawClient& client) {
    return std::to_string(
        std::get<Inet::Address>(client.local_address()).port());
  };
  const auto v4 = table_.Find("ipv4:127.0.0.1:" + port_of(ConnectAndAwait(0)));
  ASSERT_NE(v4, nullptr);
  EXPECT_TRUE(v4->is_secure());
  // As gRPC writes them.
  const std::string port = port_of(ConnectAndAwait(1));
  const auto v6 = table_.Find("ipv6:%5B::1%5D:" + port);
  ASSERT_NE(v6, nullptr);
  EXPECT_EQ(v6->Who(), "ipv6:[::1]:" + port);
  ConnectAndAwait(2);
  ASSERT_NE(Plain(2), nullptr);
  EXPECT_FALSE(Plain(2)->is_secure());
}

TEST_F(ControlAcceptorTest, EveryAddressTakesIpv4Too) {
  Make({});
  Listen(Inet::Address(asio::ip::make_address("::"), 0));
  Start();
  clients_.push_back(std::make_unique<RawClient>(
      loop(), [this](const auto& condition) { return RunUntil(condition); }));
  const auto port =
      std::get<Inet::Address>(acceptor_->addresses().at(0)).port();
  EXPECT_EQ(clients_[0]->Connect(
                Inet::Address(asio::ip::make_address("127.0.0.1"), port)),
            "ok");
  ASSERT_TRUE(AwaitGiven(1));
  EXPECT_EQ(Plain(0)->Identity(), "ipv4:127.0.0.1");
}

TEST_F(ControlAcceptorTest, ClientsBeyondTheLimitWaitForOneThatLeaves) {
  ControlAcceptor::Limits limits;
  limits.max_connections = 2;
  StartOne(limits);
  for (int i = 0; i < 4; ++i) Connect();
  ASSERT_TRUE(AwaitGiven(2));
  Settle();
  EXPECT_EQ(given_.size(), 2u);
  EXPECT_EQ(Seen(*clients_[2]), "nothing");
  const std::string line =
      "the limit of --max-control-connections (2) is reached: further clients "
      "wait";
  EXPECT_EQ(TakeLog(), std::vector<std::string>{line});
  EndGiven(0);
  ASSERT_TRUE(AwaitGiven(3));
  EndGiven(1);
  ASSERT_TRUE(AwaitGiven(4));
  // Not within the minute.
  EXPECT_EQ(TakeLog(), std::vector<std::string>());
}

TEST_F(ControlAcceptorTest, AllAddressesHaveOneLimit) {
  const TemporaryFolder folder;
  ControlAcceptor::Limits limits;
  limits.max_connections = 2;
  Make(limits);
  Listen(kLoopback);
  Listen(Unix::Address(folder.File("control")));
  Start();
  ConnectAndAwait(0);
  ConnectAndAwait(1);
  Connect(0);
  Connect(1);
  Settle();
  EXPECT_EQ(given_.size(), 2u);
  EndGiven(1);
  ASSERT_TRUE(AwaitGiven(3));
  Settle();
  EXPECT_EQ(given_.size(), 3u);
  EndGiven(0);
  ASSERT_TRUE(AwaitGiven(4));
  // Each has its turn.
  EXPECT_NE(given_[2].is_unix, given_[3].is_unix);
  for (const std::string& line : TakeLog()) {
    EXPECT_NE(line.find("--max-control-connections (2)"), line.npos) << line;
  }
}

TEST_F(ControlAcceptorTest, OneTooManyThatSaysNothingEndsTheOldest) {
  ControlAcceptor::Limits limits;
  limits.max_handshakes = 2;
  StartOne(limits);
  RawClient& called = ConnectAndAwait();
  ASSERT_TRUE(Plain(0)->BeginCall());
  RawClient& oldest = ConnectAndAwait();
  RawClient& second = ConnectAndAwait();
  EXPECT_EQ(Seen(oldest), "nothing");
  RawClient& third = ConnectAndAwait();
  EXPECT_EQ(oldest.Receive(), "ECONNRESET");
  EXPECT_EQ(Seen(second), "nothing");
  EXPECT_EQ(Seen(third), "nothing");
  EXPECT_EQ(Seen(called), "nothing");
}

TEST_F(ControlAcceptorTest, WhoHasNotCalledInTimeIsEnded) {
  StartOne({});
  RawClient& silent = ConnectAndAwait();
  time().Advance(seconds(4));
  RawClient& called = ConnectAndAwait();
  ASSERT_TRUE(Plain(1)->BeginCall());
  RawClient& later = ConnectAndAwait();
  time().Advance(milliseconds(5'999));
  Settle();
  EXPECT_EQ(Seen(silent), "nothing");
  time().Advance(milliseconds(1));
  EXPECT_EQ(silent.Receive(), "ECONNRESET");
  EXPECT_EQ(Seen(later), "nothing");
  time().Advance(seconds(4));
  EXPECT_EQ(later.Receive(), "ECONNRESET");
  time().Advance(std::chrono::hours(1));
  Settle();
  EXPECT_EQ(Seen(called), "nothing");
}

TEST_F(ControlAcceptorTest, GrpcEndsHandshakesOfTlsByItself) {
  StartOne({}, true);
  RawClient& silent = ConnectAndAwait();
  time().Advance(std::chrono::hours(1));
  Settle();
  EXPECT_EQ(Seen(silent), "nothing");
}

TEST_F(ControlAcceptorTest, WhoSendsWhatNoCallExplainsIsEnded) {
  StartOne({});
  RawClient& flood = ConnectAndAwait();
  RawClient& other = ConnectAndAwait();
  ASSERT_TRUE(Plain(0)->BeginCall());
  ASSERT_TRUE(Plain(1)->BeginCall());
  const auto connection = Plain(0);
  std::vector<char> read(1 << 16);
  const std::string data(1 << 16, 'x');
  int64_t sent = 0;
  // As gRPC does it, without an end.
  while (!connection->is_shut_down() && sent < 16 << 20) {
    if (flood.Send(data) != "ok") break;
    sent += static_cast<int64_t>(data.size());
    Settle();
    while (recv(given_[0].fd, read.data(), read.size(), MSG_DONTWAIT) > 0) {
    }
    time().Advance(milliseconds(25));
  }
  EXPECT_TRUE(connection->is_shut_down());
  EXPECT_GT(sent, 1 << 20);
  EXPECT_LT(sent, 4 << 20);
  EXPECT_EQ(flood.Receive(), "ECONNRESET");
  EXPECT_EQ(Seen(other), "nothing");
  const auto log = TakeLog();
  ASSERT_EQ(log.size(), 1u);
  EXPECT_EQ(log[0], "OVERLOADED: the control connection of " +
                        connection->Who() +
                        " is shut down: too many bytes that are no calls (1 "
                        "since the start)");
}

TEST_F(ControlAcceptorTest, ManyThatSendWhatNoCallExplainsAreEndedTogether) {
  constexpr size_t kMany = 10;
  StartOne({});
  RawClient& other = ConnectAndAwait();
  for (size_t i = 1; i <= kMany; ++i) ConnectAndAwait();
  EXPECT_EQ(other.Send(std::string(60 << 10, 'x')), "ok");
  std::vector<char> read(1 << 16);
  const std::string data(50 << 10, 'x');
  int rounds = 0;
  while (Plain(1)->is_open()) {
    ASSERT_LT(++rounds, 10);
    for (size_t i = 1; i <= kMany; ++i) {
      EXPECT_EQ(clients_[i]->Send(data), "ok");
    }
    Settle();
    for (const Given& given : given_) {
      while (recv(given.fd, read.data(), read.size(), MSG_DONTWAIT) > 0) {
      }
    }
    time().Advance(milliseconds(25));
  }
  // Each has sent far less than one alone might.
  EXPECT_EQ(rounds, 5);
  for (size_t i = 1; i <= kMany; ++i) {
    EXPECT_EQ(clients_[i]->Receive(), "ECONNRESET");
  }
  EXPECT_EQ(Seen(other), "nothing");
  const auto log = TakeLog();
  ASSERT_EQ(log.size(), 1u);
  EXPECT_NE(log[0].find("too many bytes of all clients"), log[0].npos);
}

TEST_F(ControlAcceptorTest, WhoIsSilentIsNotLookedAt) {
  StartOne({});
  RawClient& client = ConnectAndAwait();
  ASSERT_TRUE(Plain(0)->BeginCall());
  time().Advance(seconds(20));
  Settle();
  EXPECT_EQ(time().earliest(), TimePoint::max());
  EXPECT_EQ(client.Send("x"), "ok");
  ASSERT_TRUE(RunUntil([&] { return time().earliest() != TimePoint::max(); }));
  // Twice: it has sent, and it has sent no more.
  time().Advance(milliseconds(25));
  EXPECT_NE(time().earliest(), TimePoint::max());
  time().Advance(milliseconds(25));
  EXPECT_EQ(time().earliest(), TimePoint::max());
}

// What is left of a flood that is over.
TEST_F(ControlAcceptorTest, WhoAsksForLittleIsNotEndedForWhatOthersTook) {
  int64_t taken = 0;
  ControlMemory memory(1 << 20, [&] { return -taken; });
  acceptor_ = std::make_unique<ControlAcceptor>(
      executor(), ControlAcceptor::Limits(), false, table_, memory);
  Listen(kLoopback);
  Start();
  RawClient& client = ConnectAndAwait();
  ASSERT_TRUE(Plain(0)->BeginCall());
  taken = int64_t{1} << 40;
  EXPECT_EQ(client.Send("x"), "ok");
  // It is looked at, before its handshake would be too late.
  const TimePoint soon = time().Now() + seconds(1);
  ASSERT_TRUE(RunUntil([&] { return time().earliest() < soon; }));
  time().Advance(milliseconds(25));
  Settle();
  EXPECT_EQ(Seen(client), "nothing");
  // The heap is asked for it, where it can be measured.
  EXPECT_EQ(memory.policy().next_trim().has_value(), memory.Unaccounted() != 0);
  // Who asks for much is.
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Plain(0)->BeginCall());
  time().Advance(milliseconds(25));
  if (memory.Unaccounted() != 0) EXPECT_EQ(client.Receive(), "ECONNRESET");
  (void)TakeLog();
  EndGiven(0);
  acceptor_->Close();
  acceptor_.reset();
}

TEST_F(ControlAcceptorTest, AMomentWithoutDescriptorsEndsNothing) {
  StartOne({});
  RawClient& first = ConnectAndAwait();
  RawClient& waiting = Connect();
  {
    const FewDescriptors none(0);
    Settle();
    time().Advance(milliseconds(50));
    Settle();
    EXPECT_EQ(given_.size(), 1u);
  }
  const auto log = TakeLog();
  ASSERT_EQ(log.size(), 1u);
  EXPECT_NE(log[0].find("control: "), std::string::npos) << log[0];
  EXPECT_NE(log[0].find("it is tried again"), std::string::npos) << log[0];
  time().Advance(seconds(1));
  ASSERT_TRUE(AwaitGiven(2));
  EXPECT_EQ(Seen(first), "nothing");
  EXPECT_EQ(Seen(waiting), "nothing");
}

TEST_F(ControlAcceptorTest, WithoutADescriptorForTheCopyOneClientIsDropped) {
  ControlAcceptor::Limits limits;
  limits.max_connections = 1;
  StartOne(limits);
  RawClient& dropped = Connect();
  {
    const FewDescriptors one(1);
    Settle();
  }
  EXPECT_EQ(given_.size(), 0u);
  EXPECT_EQ(dropped.Receive(), "EOF");
  const auto log = TakeLog();
  ASSERT_FALSE(log.empty());
  EXPECT_NE(log[0].find("control: a client is dropped: "), log[0].npos);
  // Its place is free.
  time().Advance(seconds(1));
  ConnectAndAwait();
  (void)TakeLog();
}

TEST_F(ControlAcceptorTest, WhoStaysIsForgottenAtTheEnd) {
  const TemporaryFolder folder;
  Make({});
  Listen(Unix::Address(folder.File("control")));
  Start();
  RawClient& client = ConnectAndAwait();
  const auto connection = Plain(0);
  EXPECT_TRUE(std::filesystem::exists(folder.File("control")));
  acceptor_->StopAccepting();
  EXPECT_FALSE(std::filesystem::exists(folder.File("control")));
  Settle();
  EXPECT_TRUE(connection->is_open());
  EXPECT_EQ(Seen(client), "nothing");
  acceptor_->Close();
  EXPECT_FALSE(connection->is_open());
}

TEST_F(ControlAcceptorTest, ClientsThatComeAndGoLeaveNothing) {
  StartOne({});
  ConnectAndAwait();
  EndGiven(0);
  Settle();
  const int before = testing::CountDescriptors();
  for (size_t i = 1; i <= 100; ++i) {
    RawClient& client = ConnectAndAwait();
    if (i % 3 == 0) client.Reset();
    if (i % 3 == 1) client.Close();
    EndGiven(i);
    if (i % 3 == 2) client.Close();
  }
  EXPECT_TRUE(RunUntil([&] { return testing::CountDescriptors() <= before; }));
}

}  // namespace
}  // namespace portreeve::server
