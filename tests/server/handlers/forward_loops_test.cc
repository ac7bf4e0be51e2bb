// What is known of connections from one listener of the daemon to another.
#include "server/handlers/forward_loops.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "lib/base/descriptor.h"
#include "lib/connect/connect_attempt.h"
#include "tests/testing/server_fixture.h"
#include "tests/testing/unix_listener.h"

namespace portreeve::server {
namespace {

using ::portreeve::testing::TemporaryFolder;
using ::portreeve::testing::UnixListener;

Inet::Address At(const std::string& host, int port) {
  return Inet::Address(asio::ip::make_address(host),
                       static_cast<uint16_t>(port));
}

ForwardLoops::Listener Forward(const AnyAddress& at, const std::string& host,
                               int port) {
  return {at, true, WhereToConnect<Inet>::OfHostAndPort(host, port)};
}

// A socket that is connected from a port of its own to one that listens.
class Connection {
 public:
  Connection() {
    const Inet::Address any = At("127.0.0.1", 0);
    listening_ = Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(bind(listening_.get(), any.data(), any.size()), 0);
    EXPECT_EQ(listen(listening_.get(), 8), 0);
    auto size = static_cast<socklen_t>(peer_.capacity());
    EXPECT_EQ(getsockname(listening_.get(), peer_.data(), &size), 0);
  }
  const Inet::Address& peer() const { return peer_; }

  // By `trail`; the descriptor.
  int Connect(ForwardTrail& trail) {
    trail.Connect(peer_, [this] {
      auto fd = OpenAndConnect(peer_, std::nullopt, SocketOptions());
      EXPECT_TRUE(fd.ok());
      fd_ = *std::move(fd);
      return fd_.get();
    });
    return fd_.get();
  }
  Inet::Address local() const {
    Inet::Address address;
    auto size = static_cast<socklen_t>(address.capacity());
    EXPECT_EQ(getsockname(fd_.get(), address.data(), &size), 0);
    return address;
  }

 private:
  Inet::Address peer_;
  Descriptor listening_;
  Descriptor fd_;
};

TEST(ForwardLoopsTest, APortIsKnownWhileOneOfItsListenersIsOpen) {
  ForwardLoops loops;
  const auto a = loops.NewId();
  const auto b = loops.NewId();
  EXPECT_FALSE(loops.HasPort(7000));
  loops.Open(a, Forward(At("127.0.0.1", 7000), "h", 1));
  loops.Open(b, Forward(At("127.0.0.2", 7000), "h", 1));
  loops.Open(b, Forward(At("127.0.0.2", 7000), "other", 1));
  for (int port = 0; port < 65536; ++port) {
    EXPECT_EQ(loops.HasPort(static_cast<uint16_t>(port)), port == 7000);
  }
  loops.Close(a);
  EXPECT_TRUE(loops.HasPort(7000));
  loops.Close(b);
  loops.Close(b);
  EXPECT_FALSE(loops.HasPort(7000));
}

TEST(ForwardLoopsTest, OneThatIsClosedTakesNoOtherOfItsPortAlong) {
  ForwardLoops loops;
  const auto a = loops.NewId();
  const auto b = loops.NewId();
  loops.Open(a, Forward(At("127.0.0.1", 7000), "h", 1));
  loops.Open(b, Forward(At("127.0.0.2", 7000), "h", 1));
  loops.Close(b);
  EXPECT_TRUE(ForwardTrail(loops, a, nullptr)
                  .LeadsBack(At("127.0.0.1", 7000), TimePoint()));
}

TEST(ForwardLoopsTest, ACircleOfOthersEnds) {
  ForwardLoops loops;
  loops.Open(loops.NewId(), Forward(At("127.0.0.1", 1), "127.0.0.1", 2));
  loops.Open(loops.NewId(), Forward(At("127.0.0.1", 2), "127.0.0.1", 1));
  const auto never = [](const ForwardLoops::Upstream&) { return false; };
  EXPECT_FALSE(loops.LeadsTo(
      WhereToConnect<Inet>::OfHostAndPort("127.0.0.1", 1), never));
}

TEST(ForwardLoopsTest, WhoAcceptsAConnectionKnowsWhatItHasComeThrough) {
  ForwardLoops loops;
  const auto a = loops.NewId();
  const auto b = loops.NewId();
  Connection first, second;
  ForwardTrail from_a(loops, a, nullptr);
  EXPECT_FALSE(loops.has_connections());
  first.Connect(from_a);
  EXPECT_TRUE(loops.has_connections());
  const auto passed_a = loops.PassedBy(first.local(), first.peer());
  ASSERT_NE(passed_a, nullptr);
  EXPECT_EQ(passed_a->listener, a);

  ForwardTrail from_b(loops, b, passed_a);
  EXPECT_FALSE(from_b.is_loop());
  second.Connect(from_b);
  const auto passed_b = loops.PassedBy(second.local(), second.peer());
  ASSERT_NE(passed_b, nullptr);
  EXPECT_TRUE(ForwardTrail(loops, a, passed_b).is_loop());
  EXPECT_TRUE(ForwardTrail(loops, b, passed_b).is_loop());
  EXPECT_FALSE(ForwardTrail(loops, loops.NewId(), passed_b).is_loop());
}

// A port of this machine can be the end of several connections.
TEST(ForwardLoopsTest, BothEndsMakeAConnection) {
  ForwardLoops loops;
  ForwardTrail trail(loops, loops.NewId(), nullptr);
  Connection connection;
  connection.Connect(trail);
  Inet::Address other = connection.peer();
  other.port(static_cast<uint16_t>(other.port() ^ 1));
  EXPECT_EQ(loops.PassedBy(connection.local(), other), nullptr);
  EXPECT_EQ(loops.PassedBy(connection.peer(), connection.local()), nullptr);
}

// A listener at every address that forwards to its own port elsewhere.
TEST(ForwardLoopsTest, TheKernelIsNotAskedForEachConnection) {
  int num_asked = 0;
  bool is_here = false;
  ForwardLoops loops([&](const asio::ip::address&) {
    ++num_asked;
    return is_here;
  });
  const auto id = loops.NewId();
  loops.Open(id, Forward(At("0.0.0.0", 7000), "192.0.2.1", 7000));
  const Inet::Address upstream = At("192.0.2.1", 7000);
  const TimePoint start = TimePoint() + std::chrono::hours(1);
  const auto leads_back = [&](Duration later) {
    return ForwardTrail(loops, id, nullptr).LeadsBack(upstream, start + later);
  };
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(leads_back(std::chrono::milliseconds(i)));
  }
  EXPECT_EQ(num_asked, 1);
  // It has moved here.
  is_here = true;
  EXPECT_FALSE(leads_back(std::chrono::milliseconds(999)));
  EXPECT_TRUE(leads_back(std::chrono::seconds(1)));
  EXPECT_TRUE(leads_back(std::chrono::seconds(1)));
  EXPECT_EQ(num_asked, 3);
}

TEST(ForwardLoopsTest, NotAllAddressesThatAreElsewhereAreKept) {
  int num_asked = 0;
  ForwardLoops loops([&](const asio::ip::address&) { return ++num_asked < 0; });
  const auto id = loops.NewId();
  loops.Open(id, Forward(At("0.0.0.0", 7000), "h", 7000));
  const ForwardTrail trail(loops, id, nullptr);
  const TimePoint now = TimePoint() + std::chrono::hours(1);
  for (int i = 0; i < 65; ++i) {
    const std::string host = "192.0.2." + std::to_string(i);
    EXPECT_FALSE(trail.LeadsBack(At(host, 7000), now));
    EXPECT_FALSE(trail.LeadsBack(At(host, 7000), now));
  }
  EXPECT_EQ(num_asked, 65);
  EXPECT_FALSE(trail.LeadsBack(At("192.0.2.0", 7000), now));
  EXPECT_EQ(num_asked, 66);
}

TEST(ForwardLoopsTest, NothingIsLeftOfWhatIsOver) {
  ForwardLoops loops;
  Connection lost, won;
  {
    ForwardTrail trail(loops, loops.NewId(), nullptr);
    lost.Connect(trail);
    trail.KeepOnly(won.Connect(trail));
    EXPECT_EQ(loops.PassedBy(lost.local(), lost.peer()), nullptr);
    EXPECT_NE(loops.PassedBy(won.local(), won.peer()), nullptr);
    trail.Connect(won.peer(), [] { return -1; });
  }
  EXPECT_EQ(loops.PassedBy(won.local(), won.peer()), nullptr);
  EXPECT_FALSE(loops.has_connections());
}

// The kernel gives the ends of a connection that is closed to another one, and
// who had the first hears of its end later.
TEST(ForwardLoopsTest, WhatIsOverTakesNoOtherOfItsEndsAlong) {
  ForwardLoops loops;
  ForwardTrail older(loops, loops.NewId(), nullptr);
  const auto id = loops.NewId();
  ForwardTrail newer(loops, id, nullptr);
  Connection connection;
  const int fd = connection.Connect(older);
  newer.Connect(connection.peer(), [fd] { return fd; });
  older.Clear();
  const auto passed = loops.PassedBy(connection.local(), connection.peer());
  ASSERT_NE(passed, nullptr);
  EXPECT_EQ(passed->listener, id);
  EXPECT_TRUE(loops.has_connections());
  newer.Clear();
  EXPECT_FALSE(loops.has_connections());
}

// An attempt that has failed is told of by nobody.
TEST(ForwardLoopsTest, ADescriptorIsOfTheLastConnectionThatHasIt) {
  ForwardLoops loops;
  ForwardTrail trail(loops, loops.NewId(), nullptr);
  Connection failed, other;
  const int fd = failed.Connect(trail);
  const Inet::Address before = failed.local();
  ForwardTrail elsewhere(loops, loops.NewId(), nullptr);
  const int source = other.Connect(elsewhere);
  elsewhere.Clear();
  trail.Connect(other.peer(), [fd, source] { return dup2(source, fd); });
  EXPECT_EQ(loops.PassedBy(before, failed.peer()), nullptr);
  EXPECT_NE(loops.PassedBy(other.local(), other.peer()), nullptr);
}

TEST(ForwardLoopsTest, AUnixSocketIsKnownByItsName) {
  const TemporaryFolder folder;
  const std::string path = folder.File("s");
  const UnixListener listener(path);
  ForwardLoops loops;
  const auto a = loops.NewId();
  EXPECT_FALSE(loops.has_files());
  loops.Open(a, Forward(Unix::Address(path), "127.0.0.1", 1));
  EXPECT_TRUE(loops.has_files());
  ForwardTrail trail(loops, loops.NewId(), nullptr);
  struct stat file;
  ASSERT_EQ(stat(path.c_str(), &file), 0);
  EXPECT_TRUE(trail.LeadsToListener(ForwardLoops::Known(file)));
  EXPECT_FALSE(trail.LeadsBack(ForwardLoops::Known(file)));
  EXPECT_TRUE(
      ForwardTrail(loops, a, nullptr).LeadsBack(ForwardLoops::Known(file)));

  const auto prepare = [&trail](int fd) { return trail.GiveName(fd); };
  const auto connected =
      OpenAndConnect(Unix::Address(path), Descriptor(), prepare);
  ASSERT_TRUE(connected.ok()) << connected.status();
  Unix::Address name;
  auto size = static_cast<socklen_t>(name.capacity());
  ASSERT_EQ(getsockname(connected->get(), name.data(), &size), 0);
  name.resize(size);
  EXPECT_NE(loops.PassedBy(name, Unix::Address(path)), nullptr);
  EXPECT_EQ(loops.PassedBy(Unix::Address(), Unix::Address(path)), nullptr);
  trail.Clear();
  EXPECT_EQ(loops.PassedBy(name, Unix::Address(path)), nullptr);
  loops.Close(a);
  EXPECT_FALSE(loops.has_files());
  EXPECT_FALSE(trail.LeadsToListener(ForwardLoops::Known(file)));
}

}  // namespace
}  // namespace portreeve::server
