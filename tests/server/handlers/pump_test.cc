// One direction of bytes, from step to step.
#include "server/handlers/pump.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/asio.h"
#include "lib/base/descriptor.h"
#include "lib/net/close_socket.h"
#include "tests/testing/in_child.h"
#include "tests/testing/refused_call.h"

namespace portreeve::server {
namespace {

// Two ends of a connection of TCP.
struct Connected {
  // The kernel keeps about `buffer` bytes of what goes to the peer at each end,
  // or much.
  explicit Connected(std::optional<int> buffer = std::nullopt) {
    const Descriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener.get(), generic, size), 0);
    EXPECT_EQ(listen(listener.get(), 1), 0);
    EXPECT_EQ(getsockname(listener.get(), generic, &size), 0);
    peers = Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (buffer) SetBuffer(peers, SO_RCVBUF, *buffer);
    EXPECT_EQ(connect(peers.get(), generic, size), 0);
    ours = Descriptor(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(ours.is_open());
    fcntl(ours.get(), F_SETFL, O_NONBLOCK);
    if (buffer) SetBuffer(ours, SO_SNDBUF, *buffer);
  }

  static void SetBuffer(const Descriptor& fd, int option, int size) {
    EXPECT_EQ(setsockopt(fd.get(), SOL_SOCKET, option, &size, sizeof size), 0);
  }

  // Sends all to `ours`, and returns once it has arrived.
  void SendByPeer(const std::string& bytes) {
    ASSERT_EQ(send(peers.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
    std::string space(bytes.size(), '\0');
    ASSERT_EQ(fcntl(ours.get(), F_SETFL, 0), 0);
    ASSERT_EQ(
        recv(ours.get(), space.data(), space.size(), MSG_PEEK | MSG_WAITALL),
        static_cast<ssize_t>(bytes.size()));
    ASSERT_EQ(fcntl(ours.get(), F_SETFL, O_NONBLOCK), 0);
  }

  // Returns once it has arrived.
  void ResetByPeer() {
    MakeCloseReset(peers.get());
    peers = Descriptor();
    pollfd error{ours.get(), 0, 0};
    EXPECT_EQ(poll(&error, 1, -1), 1);
  }

  Descriptor ours;
  Descriptor peers;
};

class PumpTest : public ::testing::Test, private Outbox::Sender {
 protected:
  Pump::State Run(Pump& pump) { return RunTo(target_, pump); }
  Pump::State RunTo(const Connected& target, Pump& pump) {
    return pump.Run(Lane::Of(loop_), source_.ours.get(), target.ours.get(),
                    *this);
  }

  asio::io_context loop_;
  Connected source_;
  Connected target_;

 private:
  void OnSent(ssize_t, std::string_view, int) override {}
};

// Nobody has told of the error but recv(2), which takes it from the socket.
TEST_F(PumpTest, ASourceThatHasFailedDoesNotEndAtTheNextLook) {
  Pump pump;
  source_.ResetByPeer();
  pump.NoteSource(EPOLLIN);
  EXPECT_EQ(Run(pump), Pump::State::kSourceFailed);
  EXPECT_EQ(Run(pump), Pump::State::kSourceFailed);
  EXPECT_FALSE(pump.met_eof());
}

// For the other direction, which receives from it: so much is not sent through
// the outbox.
TEST_F(PumpTest, ATargetThatHasFailedIsKnownToHave) {
  Pump pump;
  const std::string bulk(Outbox::kMostBytes, 'x');
  ASSERT_EQ(send(source_.peers.get(), bulk.data(), bulk.size(), 0),
            static_cast<ssize_t>(bulk.size()));
  target_.ResetByPeer();
  pump.NoteSource(EPOLLIN);
  EXPECT_FALSE(pump.target_failed());
  EXPECT_EQ(Run(pump), Pump::State::kTargetFailed);
  EXPECT_TRUE(pump.target_failed());
  EXPECT_EQ(Run(pump), Pump::State::kTargetFailed);
}

// By a signal: that is no failure of the target.
TEST_F(PumpTest, ASendThatWasInterruptedIsTriedAgain) {
  Pump pump;
  Lane& lane = Lane::Of(loop_);
  // What the outbox does send goes elsewhere.
  const Connected elsewhere;
  ASSERT_EQ(send(source_.peers.get(), "hello", 5, 0), 5);
  pump.NoteSource(EPOLLIN);
  lane.outbox().Begin();
  EXPECT_EQ(RunTo(elsewhere, pump), Pump::State::kSending);
  lane.outbox().End();
  EXPECT_TRUE(pump.OnSent(lane, -EINTR, "hello"));
  EXPECT_FALSE(pump.target_failed());
  EXPECT_EQ(pump.held(), 5u);
  EXPECT_EQ(Run(pump), Pump::State::kAwaitsSource);
  EXPECT_EQ(pump.sent(), 5);
  char received[8];
  EXPECT_EQ(recv(target_.peers.get(), received, sizeof received, 0), 5);
  EXPECT_EQ(std::string_view(received, 5), "hello");
}

// Every field, in every combination of those that are only true or false.
TEST_F(PumpTest, IsTheSameWhereItGoesOnElsewhere) {
  std::vector<bool FrozenPump::*> flags = {
      &FrozenPump::readable,      &FrozenPump::hung_up,
      &FrozenPump::source_failed, &FrozenPump::met_eof,
      &FrozenPump::target_failed, &FrozenPump::out_of_memory,
      &FrozenPump::has_sent,      &FrozenPump::bulk,
      &FrozenPump::looks_later,   &FrozenPump::splices,
      &FrozenPump::no_delay,      &FrozenPump::short_reads_are_all};
  const auto expect_same = [](const FrozenPump& frozen) {
    Descriptor read, write;
    if (frozen.in_pipe > 0) {
      int ends[2];
      ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
      read = Descriptor(ends[0]);
      write = Descriptor(ends[1]);
    }
    Pump pump;
    pump.Restore(frozen, std::move(read), std::move(write));
    EXPECT_TRUE(pump.Freeze() == frozen);
    EXPECT_EQ(pump.received(), frozen.received);
    EXPECT_EQ(pump.held(), frozen.copy.size() + frozen.in_pipe);
    EXPECT_EQ(pump.held_pipe() != nullptr, frozen.in_pipe > 0);
  };
  for (uint32_t bits = 0; bits < uint32_t{1} << flags.size(); ++bits) {
    FrozenPump frozen;
    for (size_t i = 0; i < flags.size(); ++i) {
      frozen.*flags[i] = (bits >> i & 1) != 0;
    }
    frozen.received = 1000 + bits;
    expect_same(frozen);
    frozen.held_since = TimePoint(std::chrono::seconds(bits));
    frozen.copy = "held";
    expect_same(frozen);
    frozen.copy.clear();
    frozen.in_pipe = Pump::kMostHeld;
    expect_same(frozen);
  }
  EXPECT_EQ(Pump::held_in_memory(), 0);
}

// A part of it has gone already.
TEST_F(PumpTest, WhatIsLeftOfACopyGoesOnElsewhere) {
  std::string data(Outbox::kMostBytes, '\0');
  for (size_t i = 0; i < data.size(); ++i) {
    data[i] = static_cast<char>(i * 37 + i / 241);
  }
  const Connected target(4096);
  std::string got;
  const auto receive = [&] {
    char space[1024];
    const ssize_t size = recv(target.peers.get(), space, sizeof space, 0);
    if (size > 0) got.append(space, static_cast<size_t>(size));
    return size > 0;
  };
  Pump pump;
  ASSERT_NO_FATAL_FAILURE(source_.SendByPeer(data));
  pump.NoteSource(EPOLLIN);
  ASSERT_EQ(RunTo(target, pump), Pump::State::kAwaitsTarget);
  const size_t held = pump.held();
  while (pump.held() == held) {
    ASSERT_TRUE(receive());
    (void)RunTo(target, pump);
  }
  ASSERT_GT(pump.held(), 0u);
  Pump next;
  next.Restore(pump.Freeze(), Descriptor(), Descriptor());
  EXPECT_TRUE(next.Freeze() == pump.Freeze());
  while (RunTo(target, next) == Pump::State::kAwaitsTarget) {
    ASSERT_TRUE(receive());
  }
  ASSERT_EQ(shutdown(target.ours.get(), SHUT_WR), 0);
  while (receive()) {
  }
  EXPECT_TRUE(got == data) << got.size();
  EXPECT_EQ(next.sent(), static_cast<int64_t>(data.size()));
}

// As where a filter is put on a process that runs already.
TEST_F(PumpTest, WhatIsLeftInAPipeIsSentWhereSpliceIsRefusedFromThenOn) {
  std::string data(3 * Outbox::kMostBytes, '\0');
  for (size_t i = 0; i < data.size(); ++i) {
    data[i] = static_cast<char>(i * 37 + i / 241);
  }
  Pump pump;
  // A read that is filled shows that a pipe is worth while for what comes.
  const Connected elsewhere;
  const std::string first(Outbox::kMostBytes, 'x');
  ASSERT_NO_FATAL_FAILURE(source_.SendByPeer(first));
  pump.NoteSource(EPOLLIN);
  ASSERT_EQ(RunTo(elsewhere, pump), Pump::State::kAwaitsSource);
  ASSERT_EQ(pump.sent(), static_cast<int64_t>(first.size()));

  const Connected target(4096);
  ASSERT_NO_FATAL_FAILURE(source_.SendByPeer(data));
  pump.NoteSource(EPOLLIN);
  ASSERT_EQ(RunTo(target, pump), Pump::State::kAwaitsTarget);
  // A part has gone, and more is left than a copy ever has.
  ASSERT_GT(pump.sent(), static_cast<int64_t>(first.size()));
  ASSERT_GT(pump.held(), Outbox::kMostBytes);

  testing::InChild([&] {
    ASSERT_TRUE(testing::RefuseCall(SYS_splice, ENOSYS));
    Connected::SetBuffer(target.peers, SO_RCVBUF, 1'000'000);
    std::string got;
    const auto receive = [&] {
      char space[4096];
      const ssize_t size = recv(target.peers.get(), space, sizeof space, 0);
      if (size > 0) got.append(space, static_cast<size_t>(size));
      return size > 0;
    };
    Pump::State state;
    while ((state = RunTo(target, pump)) != Pump::State::kAwaitsSource) {
      if (state == Pump::State::kHasMore) continue;
      ASSERT_EQ(state, Pump::State::kAwaitsTarget);
      ASSERT_TRUE(receive());
    }
    ASSERT_EQ(shutdown(target.ours.get(), SHUT_WR), 0);
    while (receive()) {
    }
    EXPECT_TRUE(got == data) << got.size();
    EXPECT_EQ(pump.sent(), static_cast<int64_t>(first.size() + data.size()));
  });
}

}  // namespace
}  // namespace portreeve::server
