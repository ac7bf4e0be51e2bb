// A socket's descriptor in the hands of another thread.
#include "lib/net/shared_descriptor.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/testing/connect_fixture.h"

namespace portreeve::testing {
namespace {

class SharedDescriptorTest : public ConnectFixture {
 protected:
  static ssize_t Send(SharedDescriptor& shared, std::string_view data) {
    return shared.Send({&data, 1});
  }
  static std::string Receive(SharedDescriptor& shared) {
    std::string space(100, '\0');
    const ssize_t n = shared.Receive(space);
    return n < 0 ? "errno " + std::to_string(errno)
                 : space.substr(0, static_cast<size_t>(n));
  }
};

TEST_F(SharedDescriptorTest, WhatGoesThroughItIsTheSockets) {
  Pair pair = ConnectPair();
  SocketCore& socket = *pair.connection->socket.core();
  const std::shared_ptr<SharedDescriptor> shared = socket.Share();
  EXPECT_EQ(socket.Share(), shared);
  EXPECT_EQ(pair.peer.Send("question"), "ok");
  std::thread other([&] {
    EXPECT_EQ(Receive(*shared), "question");
    EXPECT_EQ(Send(*shared, "answer"), 6);
    EXPECT_TRUE(shared->HasLittleUnsent());
  });
  other.join();
  EXPECT_EQ(pair.peer.ReceiveExactly(6), "answer");
  pair.writer().Write("!");
  EXPECT_EQ(pair.peer.ReceiveExactly(1), "!");
  EXPECT_EQ(socket.bytes_received(), 8);
  EXPECT_EQ(socket.bytes_sent(), 7);
}

TEST_F(SharedDescriptorTest, ClosedWithTheSocketHoweverThatIs) {
  for (const bool reset : {false, true}) {
    Pair pair = ConnectPair();
    SocketCore& socket = *pair.connection->socket.core();
    const std::shared_ptr<SharedDescriptor> shared = socket.Share();
    EXPECT_EQ(Send(*shared, "ok"), 2);
    reset ? socket.Reset() : socket.CloseNow();
    EXPECT_EQ(Send(*shared, "late"), -1);
    EXPECT_EQ(errno, EBADF);
    EXPECT_EQ(Receive(*shared), "errno " + std::to_string(EBADF));
    EXPECT_TRUE(shared->HasLittleUnsent());
    EXPECT_EQ(socket.bytes_sent(), 2);
  }
}

TEST_F(SharedDescriptorTest, StopReceivingLeavesTheRestToTheLoop) {
  Pair pair = ConnectPair();
  SocketCore& socket = *pair.connection->socket.core();
  const std::shared_ptr<SharedDescriptor> shared = socket.Share();
  EXPECT_EQ(pair.peer.Send("rest"), "ok");
  socket.StopSharedReceiving();
  EXPECT_EQ(Receive(*shared), "errno " + std::to_string(EBADF));
  EXPECT_EQ(Send(*shared, "still"), 5);
  char space[10];
  EXPECT_EQ(socket.Receive(space, sizeof space), 4);
}

// The kernel tells an error once, and the loop has to know the reason.
TEST_F(SharedDescriptorTest, AResetThatItMeetsIsTheReaders) {
  Pair pair = ConnectPair();
  SocketCore& socket = *pair.connection->socket.core();
  const std::shared_ptr<SharedDescriptor> shared = socket.Share();
  pair.peer.Reset();
  ASSERT_TRUE(RunUntil([&] {
    return Receive(*shared) == "errno " + std::to_string(ECONNRESET);
  }));
  EXPECT_EQ(Run(pair.reader().ReadLine()), std::nullopt);
  EXPECT_EQ(socket.reason(), CloseReason::kPeerReset);
}

// The kernel tells a reset once: whoever receives then gets 0, as at an end.
TEST_F(SharedDescriptorTest, AResetThatASendMeetsIsNoEnd) {
  for (const std::string& before : {"", "some data"}) {
    for (const bool other_receives : {false, true}) {
      Pair pair = ConnectPair();
      SocketCore& socket = *pair.connection->socket.core();
      const std::shared_ptr<SharedDescriptor> shared = socket.Share();
      EXPECT_EQ(pair.peer.Send(before), "ok");
      pair.peer.Reset();
      std::thread other([&] {
        while (Send(*shared, "x") >= 0) {
        }
        EXPECT_EQ(errno, ECONNRESET);
        if (!other_receives) return;
        if (!before.empty()) {
          EXPECT_EQ(Receive(*shared), before);
        }
        EXPECT_EQ(Receive(*shared), "errno " + std::to_string(ECONNRESET));
      });
      other.join();
      if (!other_receives) {
        const auto line = Run(pair.reader().ReadLine());
        EXPECT_EQ(line.value_or(""), before);
      }
      EXPECT_EQ(Run(pair.reader().ReadLine()), std::nullopt);
      EXPECT_EQ(socket.reason(), CloseReason::kPeerReset);
      EXPECT_TRUE(socket.HasFailed());
    }
  }
}

// By several threads at once.
TEST_F(SharedDescriptorTest, AResetIsNoEndForWhoReceivesMeanwhile) {
  for (int round = 0; round < 200; ++round) {
    Pair pair = ConnectPair();
    SocketCore& socket = *pair.connection->socket.core();
    const std::shared_ptr<SharedDescriptor> shared = socket.Share();
    std::thread sender([shared] {
      while (Send(*shared, "x") >= 0 || errno == EAGAIN) {
      }
    });
    std::thread receiver([shared] {
      std::string last = "errno " + std::to_string(EAGAIN);
      while (last == "errno " + std::to_string(EAGAIN)) last = Receive(*shared);
      EXPECT_NE(last, "");
    });
    pair.peer.Reset();
    sender.join();
    receiver.join();
    char space;
    EXPECT_EQ(socket.Receive(&space, 1), -1);
  }
}

TEST_F(SharedDescriptorTest, AnEndIsAnEnd) {
  Pair pair = ConnectPair();
  SocketCore& socket = *pair.connection->socket.core();
  const std::shared_ptr<SharedDescriptor> shared = socket.Share();
  pair.peer.CloseSending();
  EXPECT_EQ(Send(*shared, "x"), 1);
  RunUntil([&] { return Receive(*shared) == ""; });
  EXPECT_EQ(Run(pair.reader().ReadLine()), std::nullopt);
  EXPECT_EQ(socket.reason(), CloseReason::kPeerClosed);
  EXPECT_FALSE(socket.HasFailed());
}

// Closing waits for the calls that are under way: none reaches a descriptor
// that somebody else has by then.
TEST_F(SharedDescriptorTest, ClosingWhileOtherThreadsUseIt) {
  for (int round = 0; round < 50; ++round) {
    Pair pair = ConnectPair();
    SocketCore& socket = *pair.connection->socket.core();
    const std::shared_ptr<SharedDescriptor> shared = socket.Share();
    std::thread sender([shared] {
      while (Send(*shared, "x") >= 0 || errno == EAGAIN) {
      }
      EXPECT_EQ(errno, EBADF);
    });
    std::thread receiver([shared] {
      const std::string closed = "errno " + std::to_string(EBADF);
      while (Receive(*shared) != closed) {
      }
    });
    EXPECT_EQ(pair.peer.ReceiveExactly(1), "x");
    socket.CloseNow();
    int other[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, other), 0);
    sender.join();
    receiver.join();
    char byte;
    EXPECT_EQ(recv(other[0], &byte, 1, MSG_DONTWAIT), -1);
    EXPECT_EQ(recv(other[1], &byte, 1, MSG_DONTWAIT), -1);
    close(other[0]);
    close(other[1]);
    EXPECT_EQ(pair.peer.Drain().end, "EOF");
  }
}

}  // namespace
}  // namespace portreeve::testing
