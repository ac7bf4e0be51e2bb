// Who gets into the control plane, and who waits.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "tests/server/control_acceptor_fixture.h"
#include "tests/testing/descriptors.h"

namespace portreeve::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::FewDescriptors;
using testing::TemporaryFolder;

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

// Connects to `address` from `port` of 127.0.0.1, 0 for any; gives the port.
int ConnectFrom(int port, const AnyAddress& address, Descriptor& fd) {
  fd = Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  Inet::Address local(asio::ip::make_address("127.0.0.1"),
                      static_cast<uint16_t>(port));
  auto size = static_cast<socklen_t>(local.size());
  EXPECT_EQ(bind(fd.get(), local.data(), size), 0);
  EXPECT_EQ(getsockname(fd.get(), local.data(), &size), 0);
  const auto& peer = std::get<Inet::Address>(address);
  EXPECT_EQ(connect(fd.get(), peer.data(), static_cast<socklen_t>(peer.size())),
            0);
  return local.port();
}

TEST_F(ControlAcceptorTest, WithTlsOneNameIsOfOneConnection) {
  Make({}, true);
  Listen(kLoopback);
  Listen(kLoopback);
  Start();
  Descriptor older, newer;
  const int port = ConnectFrom(0, acceptor_->addresses()[0], older);
  ASSERT_TRUE(AwaitGiven(1));
  const std::string name = "ipv4:127.0.0.1:" + std::to_string(port);
  const auto first = table_.Find(name);
  ASSERT_NE(first, nullptr);
  ConnectFrom(port, acceptor_->addresses()[1], newer);
  ASSERT_TRUE(AwaitGiven(2));
  EXPECT_NE(table_.Find(name), first);
  EXPECT_TRUE(first->is_shut_down());
  EXPECT_FALSE(table_.Find(name)->is_shut_down());
  EXPECT_EQ(
      TakeLog(),
      std::vector<std::string>{
          "warning: control: another connection has the address ipv4:127.0.0.1 "
          "and the same port: the older one is ended"});
}

// Where there is no memory for it, on the way to gRPC.
TEST_F(ControlAcceptorTest, OneThatIsHalfTakenInIsEndedAndLeavesItsPlace) {
  ControlAcceptor::Limits limits;
  limits.max_connections = 1;
  Make(limits);
  Listen(kLoopback);
  bool fails = true;
  (void)acceptor_->Start([&](int fd, bool is_unix) {
    if (std::exchange(fails, false)) {
      close(fd);
      throw std::bad_alloc();
    }
    given_.push_back({fd, is_unix});
  });
  RawClient& lost = Connect();
  EXPECT_EQ(lost.Receive(), "ECONNRESET");
  Connect();
  EXPECT_TRUE(AwaitGiven(1));
  EXPECT_EQ(
      TakeLog(),
      (std::vector<std::string>{
          "error: unhandled error: std::bad_alloc",
          "warning: the limit of --max-control-connections (1) is reached: "
          "further clients wait"}));
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
  for (size_t i = 0; i < 2; ++i) {
    ConnectAndAwait();
    ASSERT_TRUE(Plain(i)->BeginCall());
  }
  for (int i = 0; i < 2; ++i) Connect();
  Settle();
  EXPECT_EQ(given_.size(), 2u);
  EXPECT_EQ(Seen(*clients_[2]), "nothing");
  const std::string line =
      "warning: the limit of --max-control-connections (2) is reached: further "
      "clients "
      "wait";
  EXPECT_EQ(TakeLog(), std::vector<std::string>{line});
  EndGiven(0);
  ASSERT_TRUE(AwaitGiven(3));
  ASSERT_TRUE(Plain(2)->BeginCall());
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
  for (size_t i = 0; i < 2; ++i) {
    ConnectAndAwait(i);
    ASSERT_TRUE(Plain(i)->BeginCall());
  }
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

TEST_F(ControlAcceptorTest, WhoSaysNothingLeavesAPlaceToTheNext) {
  ControlAcceptor::Limits limits;
  limits.max_connections = 3;
  StartOne(limits);
  RawClient& called = ConnectAndAwait();
  ASSERT_TRUE(Plain(0)->BeginCall());
  RawClient& oldest = ConnectAndAwait();
  EXPECT_EQ(Seen(oldest), "nothing");
  RawClient& last = ConnectAndAwait();
  EXPECT_EQ(oldest.Receive(), "ECONNRESET");
  EXPECT_EQ(Seen(last), "nothing");
  EndGiven(1);
  ConnectAndAwait();
  EXPECT_EQ(last.Receive(), "ECONNRESET");
  EXPECT_EQ(Seen(called), "nothing");
  TakeLog();  // The limit was reached, for a moment.
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

TEST_F(ControlAcceptorTest, NoTimerIsSetOnceAllHaveCalledAndAreSilent) {
  StartOne({});
  RawClient& client = ConnectAndAwait();
  EXPECT_NE(time().earliest(), TimePoint::max());
  ASSERT_TRUE(Plain(0)->BeginCall());
  client.Send("x");
  Settle();
  ReadGiven(0);
  for (int look = 0; look < 100; ++look) {
    time().Advance(milliseconds(5));
    Settle();
  }
  EXPECT_EQ(time().earliest(), TimePoint::max());
}

TEST_F(ControlAcceptorTest, GrpcEndsHandshakesOfTlsByItself) {
  StartOne({}, true);
  RawClient& silent = ConnectAndAwait();
  time().Advance(std::chrono::hours(1));
  Settle();
  EXPECT_EQ(Seen(silent), "nothing");
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
  EXPECT_NE(log[0].find(" (1 since the start)"), log[0].npos) << log[0];
  // Its place is free.
  time().Advance(seconds(1));
  ConnectAndAwait();
  (void)TakeLog();
}

TEST_F(ControlAcceptorTest, ClientsThatAreDroppedAreLoggedOnceASecond) {
  StartOne({});
  std::vector<std::string> drops;
  const auto drop = [&] {
    RawClient& client = Connect();
    {
      const FewDescriptors one(1);
      Settle();
    }
    EXPECT_EQ(client.Receive(), "EOF");
    for (std::string& line : TakeLog()) {
      const bool is_drop = line.find("is dropped") != line.npos;
      if (is_drop) drops.push_back(std::move(line));
    }
  };
  for (int i = 0; i < 5; ++i) {
    drop();
    time().Advance(milliseconds(100));  // Accepting pauses after a shortage.
  }
  ASSERT_EQ(drops.size(), 1u);
  time().Advance(seconds(1));
  drop();
  ASSERT_EQ(drops.size(), 2u);
  EXPECT_NE(drops[1].find(" (6 since the start)"), drops[1].npos) << drops[1];
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
