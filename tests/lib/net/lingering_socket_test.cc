// What a peer gets of a socket that is closed while it sends.
#include "lib/net/lingering_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/net/close_socket.h"
#include "tests/testing/loop_fixture.h"

namespace portreeve::testing {
namespace {

using End = LingerPolicy::End;
using std::chrono::milliseconds;
using std::chrono::seconds;

Descriptor NonBlocking(int fd) {
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return Descriptor(fd);
}

struct Pair {
  Descriptor ours;
  Descriptor peer;
};

// Connected by TCP; the peer's kernel keeps little where `is_small`.
Pair TcpPair(bool is_small = false) {
  const Descriptor listener(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(bind(listener.get(), any, size), 0);
  EXPECT_EQ(listen(listener.get(), 1), 0);
  EXPECT_EQ(getsockname(listener.get(), any, &size), 0);
  Pair pair;
  pair.peer = Descriptor(socket(AF_INET, SOCK_STREAM, 0));
  const int little = 4096;
  if (is_small) {
    setsockopt(pair.peer.get(), SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
  }
  EXPECT_EQ(connect(pair.peer.get(), any, size), 0);
  fcntl(pair.peer.get(), F_SETFL, O_NONBLOCK);
  pair.ours = NonBlocking(accept(listener.get(), nullptr, nullptr));
  return pair;
}

size_t Send(const Descriptor& fd, const std::string& data) {
  const ssize_t n = send(fd.get(), data.data(), data.size(), MSG_NOSIGNAL);
  return n < 0 ? 0 : static_cast<size_t>(n);
}

// Sends until the kernel takes no more.
size_t Fill(const Descriptor& fd) {
  const std::string block(65536, 'x');
  size_t sent = 0;
  while (const size_t n = Send(fd, block)) sent += n;
  return sent;
}

// What has arrived: how many bytes, and "EOF", "nothing" or an errno.
struct Got {
  size_t bytes = 0;
  std::string end;
};
Got ReceiveAll(const Descriptor& fd) {
  Got got;
  std::string space(65536, '\0');
  while (true) {
    const ssize_t n = recv(fd.get(), space.data(), space.size(), 0);
    if (n > 0) {
      got.bytes += static_cast<size_t>(n);
      continue;
    }
    got.end = n == 0            ? "EOF"
              : errno == EAGAIN ? "nothing"
                                : strerrorname_np(errno);
    return got;
  }
}

class LingeringSocketTest : public LoopFixture, private LingeringSocket::Owner {
 protected:
  // Closes `fd`, of which nothing was read.
  CloseStep Linger(Descriptor fd, LingeringSocket::Registered registered = {}) {
    const CloseStep begun = BeginCloseOfTcp(fd.get(), 0);
    lingering_.emplace(
        poller(), time(), static_cast<LingeringSocket::Owner&>(*this),
        std::move(fd), registered, begun, time().Now() + seconds(30));
    return begun;
  }
  Poller& poller() { return Poller::Of(loop()); }
  std::optional<LingeringSocket>& lingering() { return lingering_; }

  const std::optional<LingerResult>& result() const { return result_; }
  void ExpectEnd(End end) {
    RunUntil([&] { return result_.has_value(); });
    EXPECT_EQ(result_->end, end);
  }
  void Pass(Duration duration) {
    time().Advance(duration);
    Settle();
  }

  // Reads to the end, while the loop runs.
  Got ReadToEnd(const Descriptor& fd) {
    Got got;
    RunUntil([&] {
      const Got some = ReceiveAll(fd);
      got.bytes += some.bytes;
      got.end = some.end;
      if (got.end == "nothing") asio::post(loop(), [] {});
      return got.end != "nothing";
    });
    return got;
  }

 private:
  void OnLingeringEnded(Descriptor fd, const LingerResult& result) override {
    EXPECT_FALSE(result_.has_value());
    result_ = result;
    lingering_.reset();
    fd = Descriptor();
  }

  std::optional<LingeringSocket> lingering_;
  std::optional<LingerResult> result_;
};

TEST_F(LingeringSocketTest, NothingUnreadAndNothingUnsentIsClosedAtOnce) {
  Pair pair = TcpPair();
  EXPECT_EQ(Send(pair.peer, "question"), 8u);
  EXPECT_EQ(ReceiveAll(pair.ours).bytes, 8u);
  EXPECT_EQ(Send(pair.ours, "answer"), 6u);
  EXPECT_EQ(BeginCloseOfTcp(pair.ours.get(), 8), CloseStep::kClose);
  pair.ours = Descriptor();
  const Got got = ReceiveAll(pair.peer);
  EXPECT_EQ(got.bytes, 6u);
  EXPECT_EQ(got.end, "EOF");
}

// It costs a call more only.
TEST_F(LingeringSocketTest, AWrongCountMakesNoDifference) {
  for (const int64_t count : {0, 7, 9, 1000}) {
    Pair pair = TcpPair();
    EXPECT_EQ(Send(pair.peer, "question"), 8u);
    EXPECT_EQ(ReceiveAll(pair.ours).bytes, 8u);
    EXPECT_EQ(BeginCloseOfTcp(pair.ours.get(), count), CloseStep::kClose);
  }
}

TEST_F(LingeringSocketTest, UrgentDataIsNotUnread) {
  Pair pair = TcpPair();
  EXPECT_EQ(send(pair.peer.get(), "!", 1, MSG_OOB), 1);
  EXPECT_EQ(BeginCloseOfTcp(pair.ours.get(), 0), CloseStep::kClose);
}

TEST_F(LingeringSocketTest, APeerThatHasEndedLosesNothing) {
  for (const bool is_unread : {false, true}) {
    Pair pair = TcpPair(true);
    const size_t sent = Fill(pair.ours);
    EXPECT_EQ(Send(pair.peer, "last"), 4u);
    shutdown(pair.peer.get(), SHUT_WR);
    if (!is_unread) {
      EXPECT_EQ(ReceiveAll(pair.ours).bytes, 4u);
    }
    EXPECT_EQ(BeginCloseOfTcp(pair.ours.get(), is_unread ? 0 : 4),
              CloseStep::kClose);
    pair.ours = Descriptor();
    const Got got = ReadToEnd(pair.peer);
    EXPECT_EQ(got.bytes, sent);
    EXPECT_EQ(got.end, "EOF");
  }
}

TEST_F(LingeringSocketTest, APeerThatHasResetIsTold) {
  for (const std::string& unread : {"", "x", "unread"}) {
    Pair pair = TcpPair();
    EXPECT_EQ(Send(pair.peer, unread), unread.size());
    MakeCloseReset(pair.peer.get());
    pair.peer = Descriptor();
    EXPECT_EQ(BeginCloseOfTcp(pair.ours.get(), 0), CloseStep::kFailed)
        << unread;
  }
}

TEST_F(LingeringSocketTest, WhatWasUnreadDoesNotDestroyWhatWasSent) {
  Pair pair = TcpPair(true);
  EXPECT_EQ(Send(pair.peer, "unread"), 6u);
  const size_t sent = Fill(pair.ours);
  EXPECT_EQ(Linger(std::move(pair.ours)), CloseStep::kLingerAfterInput);
  Settle();
  EXPECT_EQ(Send(pair.peer, "more"), 4u);
  Pass(milliseconds(500));
  EXPECT_EQ(Send(pair.peer, "and more"), 8u);
  Pass(seconds(20));
  EXPECT_FALSE(result().has_value());
  const Got got = ReadToEnd(pair.peer);
  EXPECT_EQ(got.bytes, sent);
  EXPECT_EQ(got.end, "EOF");
  // The kernel tells of it, though the clock stands.
  ExpectEnd(End::kAcknowledged);
  EXPECT_EQ(result()->unsent, 0);
}

TEST_F(LingeringSocketTest, WhatIsUnsentSurvivesAPeerThatSendsLater) {
  Pair pair = TcpPair(true);
  const size_t sent = Fill(pair.ours);
  EXPECT_EQ(Linger(std::move(pair.ours)), CloseStep::kLinger);
  Settle();
  EXPECT_EQ(Send(pair.peer, "late"), 4u);
  Settle();
  EXPECT_EQ(ReadToEnd(pair.peer).bytes, sent);
  ExpectEnd(End::kAcknowledged);
}

// A peer that sends for ever, faster than this reads.
TEST_F(LingeringSocketTest, OneStepOfTheLoopReadsABoundedAmount) {
  Pair pair = TcpPair(true);
  const size_t sent = Fill(pair.ours);
  EXPECT_GT(Fill(pair.peer), 0u);
  EXPECT_EQ(Linger(std::move(pair.ours)), CloseStep::kLingerAfterInput);
  Got got;
  RunUntil([&] {
    Fill(pair.peer);
    const Got some = ReceiveAll(pair.peer);
    got.bytes += some.bytes;
    got.end = some.end;
    if (got.end == "nothing") asio::post(loop(), [] {});
    return got.end != "nothing";
  });
  EXPECT_EQ(got.bytes, sent);
  EXPECT_EQ(got.end, "EOF");
  ExpectEnd(End::kAcknowledged);
}

TEST_F(LingeringSocketTest, ThePeerEndsMeanwhile) {
  Pair pair = TcpPair(true);
  const size_t sent = Fill(pair.ours);
  EXPECT_EQ(Send(pair.peer, "unread"), 6u);
  Linger(std::move(pair.ours));
  Settle();
  shutdown(pair.peer.get(), SHUT_WR);
  ExpectEnd(End::kPeerEnded);
  // The kernel goes on.
  EXPECT_GT(result()->unsent, 0);
  EXPECT_EQ(ReadToEnd(pair.peer).bytes, sent);
}

TEST_F(LingeringSocketTest, ThePeerResetsMeanwhile) {
  Pair pair = TcpPair(true);
  const size_t sent = Fill(pair.ours);
  Linger(std::move(pair.ours));
  Settle();
  MakeCloseReset(pair.peer.get());
  pair.peer = Descriptor();
  ExpectEnd(End::kPeerReset);
  EXPECT_GT(result()->unsent, 0);
  EXPECT_LT(static_cast<size_t>(result()->unsent), sent);
}

TEST_F(LingeringSocketTest, AtTheDeadlineAPeerThatSendsIsReset) {
  Pair pair = TcpPair(true);
  const size_t sent = Fill(pair.ours);
  EXPECT_EQ(Send(pair.peer, "unread"), 6u);
  Linger(std::move(pair.ours));
  Pass(seconds(30) - milliseconds(1));
  EXPECT_FALSE(result().has_value());
  Pass(milliseconds(1));
  ExpectEnd(End::kForced);
  const Got got = ReadToEnd(pair.peer);
  EXPECT_EQ(got.bytes + static_cast<size_t>(result()->unsent), sent);
  EXPECT_EQ(got.end, "ECONNRESET");
}

TEST_F(LingeringSocketTest, AtTheDeadlineASilentPeerIsLeftToTheKernel) {
  Pair pair = TcpPair(true);
  const size_t sent = Fill(pair.ours);
  Linger(std::move(pair.ours));
  Pass(seconds(30));
  ExpectEnd(End::kLeftToKernel);
  const Got got = ReadToEnd(pair.peer);
  EXPECT_EQ(got.bytes, sent);
  EXPECT_EQ(got.end, "EOF");
}

TEST_F(LingeringSocketTest, AnEarlierDeadlineHolds) {
  Pair pair = TcpPair(true);
  Fill(pair.ours);
  EXPECT_EQ(Send(pair.peer, "unread"), 6u);
  Linger(std::move(pair.ours));
  Pass(seconds(2));
  lingering()->EndBy(time().Now() + seconds(60));
  lingering()->EndBy(time().Now() + seconds(1));
  Pass(milliseconds(999));
  EXPECT_FALSE(result().has_value());
  Pass(milliseconds(1));
  ExpectEnd(End::kForced);
}

// It does not wait for the next look.
TEST_F(LingeringSocketTest, ADeadlineThatHasComeHoldsAtOnce) {
  Pair pair = TcpPair(true);
  Fill(pair.ours);
  EXPECT_EQ(Send(pair.peer, "unread"), 6u);
  Linger(std::move(pair.ours));
  Pass(seconds(2));
  EXPECT_FALSE(result().has_value());
  lingering()->EndBy(time().Now());
  Pass(Duration(0));
  ASSERT_TRUE(result().has_value());
  ExpectEnd(End::kForced);
}

TEST_F(LingeringSocketTest, TheOwnerResetsIt) {
  Pair pair = TcpPair(true);
  Fill(pair.ours);
  Linger(std::move(pair.ours));
  Settle();
  const Descriptor fd = lingering()->Take();
  EXPECT_TRUE(fd.is_open());
  MakeCloseReset(fd.get());
  EXPECT_FALSE(lingering()->Take().is_open());
  lingering()->EndBy(time().Now());
  Pass(seconds(60));
  EXPECT_FALSE(result().has_value());
  lingering().reset();
}

TEST_F(LingeringSocketTest, GoingClosesIt) {
  Pair pair = TcpPair(true);
  const size_t sent = Fill(pair.ours);
  Linger(std::move(pair.ours));
  Settle();
  lingering().reset();
  const Got got = ReadToEnd(pair.peer);
  EXPECT_EQ(got.bytes, sent);
  EXPECT_EQ(got.end, "EOF");
}

// As a connection has it that the poller knows already.
TEST_F(LingeringSocketTest, IsGivenOverByAnotherWatch) {
  struct Silent final : public Poller::Watch {
    void OnReady(uint32_t, int) override { ++count; }
    int count = 0;
  } silent;
  Pair pair = TcpPair(true);
  ASSERT_EQ(poller().Add(pair.ours.get(), EPOLLIN | EPOLLET, silent), 0);
  const size_t sent = Fill(pair.ours);
  EXPECT_EQ(Send(pair.peer, "unread"), 6u);
  Linger(std::move(pair.ours), {&silent, 0});
  EXPECT_EQ(ReadToEnd(pair.peer).bytes, sent);
  ExpectEnd(End::kAcknowledged);
  EXPECT_EQ(silent.count, 0);
}

TEST_F(LingeringSocketTest, AUnixSocketNeverHasTo) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
  Descriptor ours(ends[0]);
  const Descriptor peer(ends[1]);
  EXPECT_GT(Fill(peer), 0u);
  const size_t sent = Fill(ours);
  EXPECT_EQ(BeginCloseOfUnix(ours.get()), CloseStep::kClose);
  EXPECT_EQ(Send(peer, "late"), 0u);
  ours = Descriptor();
  const Got got = ReceiveAll(peer);
  EXPECT_EQ(got.bytes, sent);
  EXPECT_EQ(got.end, "EOF");
}

TEST_F(LingeringSocketTest, AUnixPeerThatHasLeftUnreadIsTold) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
  const Descriptor ours(ends[0]);
  EXPECT_EQ(Send(ours, "unread"), 6u);
  close(ends[1]);
  EXPECT_EQ(BeginCloseOfUnix(ours.get()), CloseStep::kFailed);
}

}  // namespace
}  // namespace portreeve::testing
