// Connections of the built-in handlers go over from one server to another, as
// from a process to the next; here both have the same loop.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/descriptor.h"
#include "lib/serve/any_server.h"
#include "server/handlers/forward_loops.h"
#include "server/handlers/handlers.h"
#include "server/handlers/moving_connection.h"
#include "tests/server/forward_fixture.h"
#include "tests/testing/deaf_listener.h"
#include "tests/testing/full_unix_listener.h"

namespace portreeve::server {
namespace {

using testing::ForwardFixture;
using testing::RawClient;

// The bytes of a stream from `begin` on: each position has its own.  None is of
// the words that a RawClient gives.
std::string BytesAt(size_t begin, size_t count) {
  std::string bytes(count, '\0');
  for (size_t i = 0; i < count; ++i) {
    const size_t at = begin + i;
    bytes[i] = static_cast<char>(0x80 | (at * 37 + at / 59 + at / 3'533) % 61);
  }
  return bytes;
}

std::vector<Descriptor> CopiesOf(const std::vector<int>& descriptors) {
  std::vector<Descriptor> copies;
  for (const int fd : descriptors) {
    copies.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    EXPECT_TRUE(copies.back().is_open());
  }
  return copies;
}

size_t HeldBy(const FrozenFlow& flow) {
  return flow.pump.in_pipe + flow.pump.copy.size();
}

class MovingFixture : public ForwardFixture {
 protected:
  // Makes a server that goes on with `from`, and with each connection, which is
  // the same there as it was.
  std::unique_ptr<AnyServer> Adopt(AnyServer& from, Executor executor) {
    ServerOptions options;
    options.observer = this;
    auto to = AnyServer::Adopt(
        std::move(executor), from.Freeze(),
        Descriptor(fcntl(from.native_handle(), F_DUPFD_CLOEXEC, 0)),
        RaiseHandlerError(), EchoHandler(), std::move(options));
    EXPECT_TRUE(to.ok()) << to.status();
    ConnectionMover mover;
    const RestoreForward own = ForwardRestorer(forward_);
    for (const auto& [id, connection] : from.connections()) {
      const auto moving = FreezeConnection(*connection);
      EXPECT_TRUE(moving.has_value());
      if (!moving) continue;
      EXPECT_EQ(moving->frozen.direct.id, id);
      const auto moved =
          mover.Add(**to, moving->frozen, CopiesOf(moving->descriptors), own);
      EXPECT_TRUE(moved.ok()) << moved.status();
      if (!moved.ok()) continue;
      const auto again = FreezeConnection(**moved);
      EXPECT_TRUE(again.has_value());
      EXPECT_TRUE(again && again->frozen == moving->frozen);
    }
    EXPECT_EQ((*to)->num_connections(), from.num_connections());
    return *std::move(to);
  }

  // The other process serves.
  static void LetGo(AnyServer& from, AnyServer& to) {
    const AnyServer::Connections all = from.connections();
    from.HandOver();
    for (const auto& [id, connection] : all) {
      from.LetGo(static_cast<DirectConnection&>(*connection));
    }
    EXPECT_TRUE(from.close_finished_and_handlers_determined().determined());
    to.Own();
  }

  // Has all connections of server_ go over, and the server with them.
  void Move() {
    auto to = Adopt(*server_, executor());
    LetGo(*server_, *to);
    server_ = &Replace(*server_, std::move(to));
  }

  // The successor dies when it has everything.
  void MoveInVain() {
    auto to = Adopt(*server_, executor());
    to->HandOver();
    EXPECT_TRUE(to->connections().empty());
  }

  Moving FrozenNow() const { return *FreezeConnection(*connection()); }

  // Sends what comes after `sent` of a stream, until no more is taken; gives
  // how much there is then.
  size_t FloodFrom(size_t sent, RawClient& sender) {
    const int fd = sender.socket().native_handle();
    for (int refused = 0; refused < 10;) {
      const std::string block = BytesAt(sent, 64 * 1024);
      const ssize_t taken =
          send(fd, block.data(), block.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      refused = taken > 0 ? 0 : refused + 1;
      if (taken > 0) sent += static_cast<size_t>(taken);
      Settle();
    }
    return sent;
  }

  // Reads the bytes from `begin` to `end` of a stream.
  static void ExpectBytes(RawClient& reader, size_t begin, size_t end) {
    while (begin < end) {
      const size_t count = std::min<size_t>(end - begin, 256 * 1024);
      const std::string got = reader.ReceiveExactly(count);
      ASSERT_TRUE(got == BytesAt(begin, count)) << begin << " " << got.size();
      begin += count;
    }
  }
};

class MovingForwardTest : public MovingFixture {};

INSTANTIATE_TEST_SUITE_P(Kinds, MovingForwardTest,
                         ::testing::ValuesIn(testing::kForwardKinds),
                         testing::NameOfKind);

TEST_P(MovingForwardTest, GoesOnBothWays) {
  RawClient client = Through();
  const int64_t id = connection()->id();
  for (const char* word : {"one", "two", "three"}) {
    const std::string text = word;
    client.Send(text);
    EXPECT_EQ(upstream_->ReceiveExactly(text.size()), text);
    Move();
    upstream_->Send(text);
    EXPECT_EQ(client.ReceiveExactly(text.size()), text);
  }
  EXPECT_EQ(connection()->id(), id);
  EXPECT_EQ(connection()->bytes_received(), 11);
  EXPECT_EQ(connection()->bytes_sent(), 11);
  EXPECT_EQ(connection()->peer(), client.local_address());
  client.Close();
  upstream_->Close();
  EXPECT_EQ(Reason(), CloseReason::kPeerClosed);
}

TEST_P(MovingForwardTest, WhatIsHeldArrivesWhole) {
  RawClient client = Through();
  const size_t up = FloodFrom(0, client);
  const size_t down = FloodFrom(0, *upstream_);
  const auto frozen = std::get<FrozenForward>(FrozenNow().frozen.handler);
  EXPECT_GT(HeldBy(frozen.to_upstream), 0u);
  EXPECT_GT(HeldBy(frozen.to_client), 0u);
  EXPECT_TRUE(frozen.to_upstream.blocked && frozen.to_client.blocked);
  Move();
  ExpectBytes(*upstream_, 0, up / 2);
  Move();
  ExpectBytes(client, 0, down / 3);
  Move();
  ExpectBytes(*upstream_, up / 2, up);
  ExpectBytes(client, down / 3, down);
  // And what comes then.
  const size_t more = FloodFrom(up, client);
  Move();
  ExpectBytes(*upstream_, up, more);
  EXPECT_EQ(connection()->bytes_received(), static_cast<int64_t>(more));
  EXPECT_EQ(connection()->bytes_sent(), static_cast<int64_t>(down));
}

// While nobody waits for the other side: there may be more in each step.
TEST_P(MovingForwardTest, InTheMidstOfBulk) {
  RawClient client = Through();
  size_t up = 0, received = 0;
  for (int i = 0; i < 100; ++i) {
    const std::string block = BytesAt(up, 100'000);
    const ssize_t taken = send(client.socket().native_handle(), block.data(),
                               block.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (taken > 0) up += static_cast<size_t>(taken);
    Step(i % 4);
    if (i % 3 == 0) Move();
    const size_t some = std::min<size_t>((up - received) / 2, 50'000);
    ExpectBytes(*upstream_, received, received + some);
    received += some;
  }
  ExpectBytes(*upstream_, received, up);
}

TEST_P(MovingForwardTest, HalfClosedByTheClient) {
  RawClient client = Through();
  client.Send("a");
  client.CloseSending();
  EXPECT_EQ(upstream_->ReceiveExactly(1), "a");
  EXPECT_EQ(upstream_->Receive(), "EOF");
  Move();
  upstream_->Send("b");
  EXPECT_EQ(client.ReceiveExactly(1), "b");
  Move();
  upstream_->CloseSending();
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(Reason(), CloseReason::kPeerClosed);
}

TEST_P(MovingForwardTest, HalfClosedByTheUpstream) {
  RawClient client = Through();
  upstream_->Send("a");
  upstream_->CloseSending();
  EXPECT_EQ(client.ReceiveExactly(1), "a");
  EXPECT_EQ(client.Receive(), "EOF");
  Move();
  client.Send("b");
  EXPECT_EQ(upstream_->ReceiveExactly(1), "b");
  client.CloseSending();
  EXPECT_EQ(upstream_->Receive(), "EOF");
  EXPECT_EQ(Reason(), CloseReason::kUpstreamClosed);
}

TEST_P(MovingForwardTest, TheEndComesBehindWhatIsHeld) {
  RawClient client = Through();
  const size_t up = FloodFrom(0, client);
  client.CloseSending();
  Settle();
  Move();
  ExpectBytes(*upstream_, 0, up);
  EXPECT_EQ(upstream_->Receive(), "EOF");
}

// Neither process has been told of it before.
TEST_P(MovingForwardTest, WhatComesMeanwhileIsSeen) {
  RawClient client = Through();
  client.Send("late");
  client.CloseSending();
  Move();
  EXPECT_EQ(upstream_->ReceiveExactly(4), "late");
  EXPECT_EQ(upstream_->Receive(), "EOF");
}

TEST_P(MovingForwardTest, OneThatIsBeingClosedIsFlushed) {
  RawClient client = Through();
  const size_t down = FloodFrom(0, *upstream_);
  connection()->Close(ExistingConnections::kClose, CloseReason::kCalled);
  Settle();
  ASSERT_TRUE(FrozenNow().frozen.direct.force_close_at.has_value());
  const auto held =
      HeldBy(std::get<FrozenForward>(FrozenNow().frozen.handler).to_client);
  ASSERT_GT(held, 0u);
  const size_t sent = static_cast<size_t>(connection()->bytes_sent()) + held;
  Move();
  ExpectBytes(client, 0, sent);
  EXPECT_LE(sent, down);
  EXPECT_EQ(client.Receive(), "EOF");
  client.Close();
  EXPECT_EQ(Reason(), CloseReason::kCalled);
}

TEST_P(MovingForwardTest, ItIsForcedToEndWhenItWouldHaveBeen) {
  RawClient client = Through();
  FloodFrom(0, *upstream_);
  connection()->Close(ExistingConnections::kClose, CloseReason::kCalled);
  Settle();
  time().Advance(std::chrono::seconds(20));
  Move();
  time().Advance(std::chrono::seconds(9));
  Settle();
  EXPECT_EQ(server_->num_connections(), 1);
  time().Advance(std::chrono::seconds(1));
  EXPECT_EQ(Reason(), CloseReason::kForced);
}

TEST_P(MovingForwardTest, WhatIsHeldForTheClientHasTheSameAge) {
  ServerOptions options;
  options.buffer_age_limit = BufferAgeLimit::AtMost(std::chrono::seconds(10));
  RawClient client = Through(std::move(options));
  FloodFrom(0, *upstream_);
  time().Advance(std::chrono::seconds(6));
  Move();
  time().Advance(std::chrono::seconds(3));
  Settle();
  EXPECT_EQ(server_->num_connections(), 1);
  time().Advance(std::chrono::seconds(1));
  EXPECT_EQ(Reason(), CloseReason::kBufferAge);
}

TEST_P(MovingForwardTest, WhatIsHeldForTheUpstreamHasTheSameAge) {
  ForwardOptions forward = ToUpstream();
  forward.buffer_age_limit = BufferAgeLimit::AtMost(std::chrono::seconds(10));
  ServerOptions options;
  options.buffer_age_limit = BufferAgeLimit::Unlimited();
  RawClient client = Through(std::move(forward), std::move(options));
  FloodFrom(0, client);
  time().Advance(std::chrono::seconds(6));
  Move();
  time().Advance(std::chrono::seconds(3));
  Settle();
  EXPECT_EQ(server_->num_connections(), 1);
  time().Advance(std::chrono::seconds(1));
  EXPECT_EQ(Reason(), CloseReason::kBufferAge);
}

TEST_P(MovingForwardTest, TheTimeThatItTookToConnectIsKept) {
  ForwardOptions forward = ToUpstream();
  forward.times_connecting = true;
  RawClient client = Through(std::move(forward));
  const auto before = ForwardConnectTime(*connection());
  ASSERT_TRUE(before.has_value());
  Move();
  EXPECT_EQ(ForwardConnectTime(*connection()), before);
}

// The successor has all of it, and gives it up: nobody notices.
TEST_P(MovingForwardTest, WhereTheSuccessorDiesNothingHasHappened) {
  RawClient client = Through();
  const size_t up = FloodFrom(0, client);
  const size_t down = FloodFrom(0, *upstream_);
  for (int i = 0; i < 3; ++i) MoveInVain();
  ExpectBytes(*upstream_, 0, up);
  MoveInVain();
  ExpectBytes(client, 0, down);
  MoveInVain();
  client.Send("end");
  client.CloseSending();
  EXPECT_EQ(upstream_->ReceiveExactly(3), "end");
  EXPECT_EQ(upstream_->Receive(), "EOF");
  MoveInVain();
  upstream_->Close();
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(Reason(), CloseReason::kPeerClosed);
}

// Those who wait for the close in the old process do so no longer.
TEST_P(MovingForwardTest, ACloseIsWaitedForInTheOtherProcess) {
  RawClient client = Through();
  FloodFrom(0, *upstream_);
  const auto before =
      connection()->Close(ExistingConnections::kClose, CloseReason::kCalled);
  Settle();
  EXPECT_FALSE(before.determined());
  Move();
  EXPECT_TRUE(before.determined());
  const auto after =
      connection()->Close(ExistingConnections::kReset, CloseReason::kCalled);
  EXPECT_TRUE(RunUntil(after));
  EXPECT_EQ(Reason(), CloseReason::kCalled);
}

// A listener of the daemon has the same port, or is a unix socket, too; but it
// is not where this leads.
TEST_P(MovingForwardTest, OneThatMightHaveLedToAListenerMoves) {
  ForwardLoops loops;
  ForwardLoops::Listener elsewhere{AnyAddress(Unix::Address("/none")), true,
                                   WhereToConnect<Unix>::OfFile("/other")};
  if (!GetParam().unix_upstream) {
    elsewhere.address = Inet::Address(asio::ip::make_address("127.0.0.9"),
                                      listener_->inet_address().port());
  }
  loops.Open(loops.NewId(), elsewhere);
  ForwardOptions forward = ToUpstream();
  forward.loops = &loops;
  forward.listener = loops.NewId();
  {
    RawClient client = Through(std::move(forward));
    client.Send("one");
    EXPECT_EQ(upstream_->ReceiveExactly(3), "one");
    MoveInVain();
    Move();
    upstream_->Send("two");
    EXPECT_EQ(client.ReceiveExactly(3), "two");
    EXPECT_FALSE(loops.has_connections());
  }
  upstream_->Close();
  (void)Reason();
}

TEST_P(MovingForwardTest, OneThatLeadsToAListenerStays) {
  if (GetParam().by_name) GTEST_SKIP();
  ForwardLoops loops;
  loops.Open(loops.NewId(),
             {GetParam().unix_upstream
                  ? AnyAddress(Unix::Address(listener_->where_unix().path))
                  : AnyAddress(listener_->inet_address()),
              true, WhereToConnect<Unix>::OfFile("/other")});
  ForwardOptions forward = ToUpstream();
  forward.loops = &loops;
  forward.listener = loops.NewId();
  {
    RawClient client = Through(std::move(forward));
    EXPECT_FALSE(FreezeConnection(*connection()).has_value());
    EXPECT_TRUE(loops.has_connections());
  }
  upstream_->Close();
  (void)Reason();
}

class MovingByNameTest : public MovingFixture {};
INSTANTIATE_TEST_SUITE_P(Kinds, MovingByNameTest,
                         ::testing::Values(testing::kTcpToName),
                         testing::NameOfKind);

TEST_P(MovingByNameTest, OneThatConnectsBeginsAgain) {
  RawClient client = Forward();
  client.Send("early");
  RunUntil([&] { return !server_->connections().empty(); });
  ASSERT_FALSE(connected_);
  MoveInVain();
  Move();
  const auto frozen = std::get<FrozenForward>(FrozenNow().frozen.handler);
  ASSERT_TRUE(frozen.connecting.has_value());
  EXPECT_FALSE(frozen.connecting->has_socket);
  upstream_.emplace(listener_->Accept());
  EXPECT_EQ(upstream_->ReceiveExactly(5), "early");
  EXPECT_TRUE(connected_);
  Settle();
  Move();
  upstream_->Send("late");
  EXPECT_EQ(client.ReceiveExactly(4), "late");
}

class MovingTcpTest : public MovingFixture {};
INSTANTIATE_TEST_SUITE_P(Kinds, MovingTcpTest,
                         ::testing::Values(testing::kTcpToTcp),
                         testing::NameOfKind);

TEST_P(MovingTcpTest, KeepaliveIsSetAfterASecondStill) {
  RawClient client = Through();
  ASSERT_TRUE(
      std::get<FrozenForward>(FrozenNow().frozen.handler).keepalive_is_due);
  Move();
  const auto keepalive = [this] {
    int value = -1;
    socklen_t size = sizeof value;
    EXPECT_EQ(getsockopt(FrozenNow().descriptors.at(1), SOL_SOCKET,
                         SO_KEEPALIVE, &value, &size),
              0);
    return value;
  };
  EXPECT_EQ(keepalive(), 0);
  time().Advance(std::chrono::seconds(1));
  EXPECT_EQ(keepalive(), 1);
  EXPECT_FALSE(
      std::get<FrozenForward>(FrozenNow().frozen.handler).keepalive_is_due);
  Move();
}

// All has gone to the kernel, and the client has not read it.
TEST_P(MovingTcpTest, OneThatHasSentItsFinStays) {
  RawClient client = Through();
  const size_t down = FloodFrom(0, *upstream_);
  connection()->Close(ExistingConnections::kClose, CloseReason::kCalled);
  size_t received = 0;
  while (FreezeConnection(*connection()).has_value()) {
    ASSERT_NO_FATAL_FAILURE(ExpectBytes(client, received, received + 1000));
    received += 1000;
    Settle();
  }
  EXPECT_EQ(server_->num_connections(), 1);
  const RawClient::Drained drained = client.Drain();
  EXPECT_EQ(drained.end, "EOF");
  EXPECT_LE(received + drained.bytes, down);
  client.Close();
  EXPECT_EQ(Reason(), CloseReason::kCalled);
}

TEST_P(MovingTcpTest, AResetThatComesMeanwhileGoesOn) {
  RawClient client = Through();
  client.Reset();
  Move();
  EXPECT_EQ(upstream_->Receive(), "ECONNRESET");
  EXPECT_EQ(Reason(), CloseReason::kPeerReset);
}

TEST_P(MovingTcpTest, AResetOfTheUpstreamThatComesMeanwhileGoesOn) {
  RawClient client = Through();
  upstream_->Reset();
  Move();
  EXPECT_EQ(client.Receive(), "ECONNRESET");
  EXPECT_EQ(Reason(), CloseReason::kUpstreamReset);
}

// Its socket goes over, and the time that it has.
TEST_P(MovingTcpTest, OneThatConnectsIsGivenUpWhenItWouldHaveBeen) {
  for (const auto timeout :
       {std::chrono::milliseconds(800), std::chrono::milliseconds(5000)}) {
    const testing::DeafListener deaf;
    ForwardOptions options;
    options.upstream = WhereToConnect<Inet>::OfInetAddress(deaf.address());
    options.connect_timeout = timeout;
    std::string unreached;
    options.on_unreached = [&](int64_t, const absl::Status& why, const auto&) {
      unreached = std::string(why.message());
    };
    RawClient client = Forward(std::move(options));
    RunUntil([&] { return server_->num_connections() == 1; });
    Settle();
    time().Advance(std::chrono::milliseconds(300));
    Settle();
    const Moving before = FrozenNow();
    const auto& connecting =
        std::get<FrozenForward>(before.frozen.handler).connecting;
    ASSERT_TRUE(connecting && connecting->has_socket);
    EXPECT_EQ(before.descriptors.size(), 2u);
    MoveInVain();
    Move();
    time().Advance(timeout - std::chrono::milliseconds(301));
    Settle();
    EXPECT_EQ(client.Peek(), "nothing");
    time().Advance(std::chrono::milliseconds(1));
    EXPECT_EQ(client.Receive(), "ECONNRESET");
    EXPECT_EQ(Reason(), CloseReason::kUpstreamUnreachable);
    EXPECT_NE(unreached, "");
  }
}

TEST_P(MovingTcpTest, OneThatWaitsForAFullBacklogGoesOn) {
  testing::FullUnixListener full(NewFile());
  ForwardOptions options;
  options.upstream = WhereToConnect<Unix>::OfFile(LastFile());
  RawClient client = Forward(std::move(options));
  RunUntil([&] { return server_->num_connections() == 1; });
  Settle();
  Move();
  Settle();
  EXPECT_EQ(client.Peek(), "nothing");
  std::vector<Descriptor> accepted;
  for (size_t i = 0; i < full.num_fillers(); ++i) {
    accepted.push_back(full.Accept());
  }
  time().Advance(std::chrono::milliseconds(100));
  RunUntil([this] { return connected_; });
}

// Epoll would report a descriptor of which there is a copy elsewhere.
TEST_P(MovingTcpTest, TheOldLoopHearsNothingOfItAfterwards) {
  RawClient client = Through();
  asio::io_context other;
  {
    auto to = Adopt(*server_, Executor(other.get_executor()));
    LetGo(*server_, *to);
    Settle();
    client.Send("hello");
    upstream_->Send("hello");
    loop().restart();
    EXPECT_EQ(loop().poll(), 0u);
    const auto run_until = [&](const std::function<bool()>& condition) {
      const auto deadline = std::chrono::steady_clock::now() + kDeadline;
      while (!condition() && std::chrono::steady_clock::now() < deadline) {
        other.restart();
        other.poll();
      }
      EXPECT_TRUE(condition());
    };
    run_until([&] {
      const auto& moved = *to->connections().begin()->second;
      return moved.bytes_received() == 5 && moved.bytes_sent() == 5;
    });
    to->Close(ExistingConnections::kReset);
    run_until([&] {
      return to->close_finished_and_handlers_determined().determined();
    });
  }
  other.restart();
  other.run();
}

TEST_P(MovingTcpTest, EchoGoesOn) {
  server_ = &Serve(EchoHandler());
  RawClient client = ClientOf(*server_);
  client.Send("hello");
  EXPECT_EQ(client.ReceiveExactly(5), "hello");
  Move();
  const size_t sent = FloodFrom(0, client);
  ASSERT_GT(HeldBy(std::get<FrozenEcho>(FrozenNow().frozen.handler).flow), 0u);
  Move();
  ExpectBytes(client, 0, sent / 2);
  Move();
  ExpectBytes(client, sent / 2, sent);
  EXPECT_EQ(connection()->bytes_sent(), static_cast<int64_t>(sent) + 5);
  client.CloseSending();
  Move();
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(Reason(), CloseReason::kPeerClosed);
}

TEST_P(MovingTcpTest, EchoOnAUnixSocketGoesOn) {
  server_ = &ServeUnix(EchoHandler());
  RawClient client = ClientOf(*server_);
  const size_t sent = FloodFrom(0, client);
  client.CloseSending();
  Move();
  ExpectBytes(client, 0, sent);
  EXPECT_EQ(client.Receive(), "EOF");
}

TEST_P(MovingTcpTest, DiscardGoesOn) {
  server_ = &Serve(DiscardHandler());
  RawClient client = ClientOf(*server_);
  client.Send("hello");
  RunUntil([&] {
    return server_->num_connections() == 1 &&
           connection()->bytes_received() == 5;
  });
  client.Send("more");
  Move();
  RunUntil([&] { return connection()->bytes_received() == 9; });
  client.CloseSending();
  Move();
  EXPECT_EQ(Reason(), CloseReason::kPeerClosed);
}

// Those whom the other process has let in count, whatever the limits are here.
TEST_P(MovingTcpTest, LimitsCountThem) {
  ServerOptions options;
  options.max_connections = 2;
  server_ = &Serve(EchoHandler(), std::move(options));
  RawClient first = ClientOf(*server_);
  RawClient second = ClientOf(*server_);
  RunUntil([&] { return server_->num_connections() == 2; });
  Move();
  RawClient third = ClientOf(*server_);
  third.Send("3");
  Settle();
  EXPECT_EQ(server_->num_connections(), 2);
  EXPECT_EQ(third.Peek(), "nothing");
  first.Close();
  EXPECT_EQ(third.ReceiveExactly(1), "3");
  EXPECT_EQ(TakeLog().size(), 1u);  // That the limit was reached.
}

// Whatever a connection can be: the same again, and given up without a trace.
class FrozenStatesTest : public testing::HandlersFixture {
 protected:
  enum Held { kNothing, kCopy, kPipe };

  // The two ends of a socket, of which the second is the peer's.
  struct Ends {
    Ends() {
      int ends[2];
      EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                           0, ends),
                0);
      ours = Descriptor(ends[0]);
      peers = Descriptor(ends[1]);
    }
    bool IsUntouched() const {
      char byte;
      return recv(peers.get(), &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN &&
             send(peers.get(), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 &&
             recv(ours.get(), &byte, 1, MSG_DONTWAIT) == 1;
    }

    Descriptor ours, peers;
  };

  // One that accepts no more, and takes what another process had accepted.
  auto Adopted() {
    FrozenServer closed;
    closed.acceptor.socket.address = Unix::Address("/x");
    closed.close_cause = CloseCause::kCalled;
    closed.close_finished = true;
    return AnyServer::Adopt(executor(), closed, Descriptor(),
                            RaiseHandlerError(), EchoHandler(),
                            ServerOptions());
  }

  FrozenFlow FlowWith(Held held, bool blocked, bool ended, bool shut) {
    FrozenFlow flow;
    flow.blocked = blocked;
    flow.ended = ended;
    flow.shut = shut;
    flow.pump.received = 1000 + ++next_;
    if (held == kCopy) flow.pump.copy = "held";
    if (held == kPipe) flow.pump.in_pipe = 4;
    if (held != kNothing) {
      flow.pump.held_since = time().Now() - std::chrono::seconds(next_ % 60);
    }
    flow.pump.met_eof = ended;
    flow.pump.has_sent = true;
    return flow;
  }

  void ExpectSameAgain(FrozenConnection frozen) {
    frozen.direct.id = ++next_;
    frozen.direct.peer = Unix::Address();
    frozen.direct.local = Unix::Address("/x");
    const Ends client, upstream;
    std::vector<Descriptor> own, pipes;
    own.emplace_back(dup(client.ours.get()));
    if (NumSockets(frozen) == 2) own.emplace_back(dup(upstream.ours.get()));
    for (const FrozenFlow* flow : FlowsOf(frozen)) {
      if (flow->pump.in_pipe == 0) continue;
      int ends[2];
      ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
      ASSERT_EQ(write(ends[1], "held", 4), 4);
      pipes.emplace_back(ends[0]);
      pipes.emplace_back(ends[1]);
      own.emplace_back(dup(ends[0]));
      own.emplace_back(dup(ends[1]));
    }
    FrozenServer closed;
    closed.acceptor.socket.address = Unix::Address("/x");
    closed.close_cause = CloseCause::kCalled;
    closed.close_finished = true;
    const auto server =
        AnyServer::Adopt(executor(), closed, Descriptor(), RaiseHandlerError(),
                         EchoHandler(), ServerOptions());
    ASSERT_TRUE(server.ok()) << server.status();
    ForwardOptions to_y;
    to_y.upstream = WhereToConnect<Unix>::OfFile("/y");
    to_y.connect_timeout = std::chrono::seconds(7);
    if (const auto* f = std::get_if<FrozenForward>(&frozen.handler)) {
      to_y.buffer_age_limit = f->upstream_age_limit;
    }
    const auto moved = mover_.Add(**server, frozen, std::move(own),
                                  ForwardRestorer(std::move(to_y)));
    ASSERT_TRUE(moved.ok()) << moved.status();
    {
      const auto again = FreezeConnection(**moved);
      ASSERT_TRUE(again.has_value());
      EXPECT_TRUE(again->frozen == frozen);
      EXPECT_EQ(again->descriptors.size(), NumDescriptors(frozen));
    }
    EXPECT_EQ((*moved)->bytes_received(), frozen.direct.bytes_received);
    EXPECT_EQ((*moved)->reason(), frozen.direct.reason);
    (*server)->HandOver();
    EXPECT_TRUE(client.IsUntouched() && upstream.IsUntouched());
    for (size_t i = 0; i < pipes.size(); i += 2) {
      int held = -1;
      EXPECT_EQ(ioctl(pipes[i].get(), FIONREAD, &held), 0);
      EXPECT_EQ(held, 4);
    }
  }

  // Calls `f` with what all connections have in common, in all its forms.
  template <typename F>
  void ForEachDirect(F f) {
    for (const bool closing : {false, true}) {
      for (const bool writable : {false, true}) {
        FrozenDirect direct;
        direct.bytes_received = 10 + ++next_;
        direct.bytes_sent = 20 + ++next_;
        direct.bytes_to_write = static_cast<size_t>(next_ % 5);
        direct.sets_no_delay = !writable;
        direct.watches_writable = writable;
        direct.buffer_age_limit =
            closing ? BufferAgeLimit::Unlimited()
                    : BufferAgeLimit::AtMost(std::chrono::hours(2));
        if (closing) {
          direct.force_close_at = time().Now() + std::chrono::seconds(5);
          direct.reason = CloseReason::kCalled;
        }
        f(direct);
      }
    }
  }
  template <typename F>
  void ForEachFlow(F f) {
    for (const Held held : {kNothing, kCopy, kPipe}) {
      for (int bits = 0; bits < 8; ++bits) {
        f(FlowWith(held, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0));
      }
    }
  }

  int64_t next_ = 0;
  ConnectionMover mover_;
};

TEST_F(FrozenStatesTest, OfEcho) {
  ForEachDirect([&](const FrozenDirect& direct) {
    ForEachFlow([&](const FrozenFlow& flow) {
      ExpectSameAgain({direct, FrozenEcho{flow}});
    });
  });
}

TEST_F(FrozenStatesTest, OfDiscard) {
  ForEachDirect([&](const FrozenDirect& direct) {
    for (const bool to_the_end : {false, true}) {
      ExpectSameAgain({direct, FrozenDiscard{to_the_end}});
    }
  });
}

TEST_F(FrozenStatesTest, OfForward) {
  ForEachDirect([&](const FrozenDirect& direct) {
    ForEachFlow([&](const FrozenFlow& up) {
      ForEachFlow([&](const FrozenFlow& down) {
        FrozenForward forward;
        forward.to_upstream = up;
        forward.to_client = down;
        forward.is_unix = true;
        forward.keepalive_is_due = direct.watches_writable;
        if (direct.sets_no_delay) {
          forward.connect_time = std::chrono::microseconds(1234);
          forward.upstream_age_limit = BufferAgeLimit::Unlimited();
        }
        ExpectSameAgain({direct, forward});
        if (HeldBy(up) + HeldBy(down) > 0) return;
        forward.connecting =
            FrozenConnecting{time().Now() + std::chrono::seconds(3), false,
                             "unix:/y", std::chrono::seconds(7)};
        ExpectSameAgain({direct, forward});
      });
    });
  });
}

// What cannot be is refused, and whatever came with it is closed.
TEST_F(FrozenStatesTest, WrongDescriptorsAreRefused) {
  const auto server = Adopted();
  ASSERT_TRUE(server.ok());
  FrozenConnection frozen;
  frozen.direct.id = 1;
  frozen.direct.peer = Unix::Address();
  frozen.handler = FrozenEcho{FlowWith(kPipe, true, false, false)};
  const auto add = [&](std::vector<int> fds) {
    return mover_.Add(**server, frozen, CopiesOf(fds), nullptr).status().ok();
  };
  const Ends client;
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  const Descriptor read(ends[0]), write(ends[1]);
  const int socket = client.ours.get();
  EXPECT_FALSE(add({}));
  EXPECT_FALSE(add({socket, ends[0]}));
  EXPECT_FALSE(add({ends[0], ends[0], ends[1]}));
  EXPECT_FALSE(add({socket, socket, socket}));
  // It is empty.
  EXPECT_FALSE(add({socket, ends[0], ends[1]}));
  ASSERT_EQ(::write(ends[1], "held", 4), 4);
  EXPECT_FALSE(add({socket, ends[0], ends[1], socket}));
  frozen.direct.peer = Inet::Address();
  EXPECT_FALSE(add({socket, ends[0], ends[1]}));
  frozen.direct.peer = Unix::Address();
  auto& pump = std::get<FrozenEcho>(frozen.handler).flow.pump;
  pump.received = 3;
  EXPECT_FALSE(add({socket, ends[0], ends[1]}));
  pump.received = 4;
  EXPECT_TRUE(add({socket, ends[0], ends[1]}));
  EXPECT_EQ((*server)->num_connections(), 1);
  // The same again.
  EXPECT_FALSE(add({socket, ends[0], ends[1]}));
  // Ends that are none, and those of two pipes.
  frozen.direct.id = 2;
  EXPECT_FALSE(add({socket, ends[1], ends[0]}));
  int others[2];
  ASSERT_EQ(pipe2(others, O_CLOEXEC | O_NONBLOCK), 0);
  const Descriptor other_read(others[0]), other_write(others[1]);
  EXPECT_FALSE(add({socket, ends[0], others[1]}));
  EXPECT_EQ((*server)->num_connections(), 1);
  (*server)->HandOver();
  EXPECT_TRUE(client.IsUntouched());
}

// By a name, or to a unix socket, no socket connects that could go over.
TEST_F(FrozenStatesTest, ASocketThatCannotBeConnectingIsRefused) {
  const auto server = Adopted();
  ASSERT_TRUE(server.ok());
  FrozenConnection frozen;
  frozen.direct.id = 1;
  frozen.direct.peer = Unix::Address();
  FrozenForward forward;
  forward.is_unix = true;
  forward.connecting =
      FrozenConnecting{time().Now() + std::chrono::seconds(3), true, "", {}};
  frozen.handler = forward;
  const Ends client, upstream;
  for (const bool by_name : {false, true}) {
    ForwardOptions options;
    options.upstream = WhereToConnect<Unix>::OfFile("/y");
    if (by_name) {
      options.upstream = WhereToConnect<Inet>::OfHostAndPort("localhost", 1);
    }
    EXPECT_FALSE(mover_
                     .Add(**server, frozen,
                          CopiesOf({client.ours.get(), upstream.ours.get()}),
                          ForwardRestorer(std::move(options)))
                     .ok());
    EXPECT_EQ((*server)->num_connections(), 0);
  }
  (*server)->HandOver();
  EXPECT_TRUE(client.IsUntouched() && upstream.IsUntouched());
}

}  // namespace
}  // namespace portreeve::server
