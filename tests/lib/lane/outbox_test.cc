#include "lib/lane/outbox.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/testing/refused_call.h"

namespace portreeve {
namespace {

class Recorder final : public Outbox::Sender, public Outbox::Closer {
 public:
  void OnSent(ssize_t result, std::string_view message, int tag) override {
    told.push_back(std::string(message.substr(0, 8)) + " " +
                   std::to_string(result) + " " + std::to_string(tag));
    if (then) then();
  }
  void OnClosed() override { told.push_back("closed"); }

  std::vector<std::string> told;
  std::function<void()> then;
};

using Strings = std::vector<std::string>;

// Both ways are the same to everybody.
class OutboxTest : public ::testing::TestWithParam<Outbox::Way> {
 protected:
  struct Pair {
    Descriptor mine;
    Descriptor peer;

    // What there is to read; "EOF"; or "nothing".
    std::string Read() const {
      std::string data(1 << 20, '\0');
      const ssize_t n = recv(peer.get(), data.data(), data.size(), 0);
      if (n == 0) return "EOF";
      return n < 0 ? "nothing" : data.substr(0, static_cast<size_t>(n));
    }
  };

  static Pair Connected() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    return {Descriptor(ends[0]), Descriptor(ends[1])};
  }

  void Put(const Pair& pair, const std::string& message, Recorder& sender,
           int tag = 0) {
    const std::span<char> space = outbox_.Space();
    ASSERT_EQ(space.size(), Outbox::kMostBytes);
    std::copy(message.begin(), message.end(), space.begin());
    outbox_.Send(pair.mine.get(), message.size(), sender, tag);
  }

  Outbox outbox_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Ways, OutboxTest,
                         ::testing::Values(Outbox::Way::kTogether,
                                           Outbox::Way::kOneByOne));

TEST_P(OutboxTest, SendsAtTheEndOfARound) {
  const Pair first = Connected();
  const Pair second = Connected();
  Recorder sender;
  outbox_.Begin();
  Put(first, "one", sender, 1);
  Put(second, "two", sender, 2);
  Put(first, "three", sender, 3);
  EXPECT_EQ(first.Read(), "nothing");
  EXPECT_TRUE(sender.told.empty());
  outbox_.End();
  EXPECT_EQ(sender.told, (Strings{"one 3 1", "two 3 2", "three 5 3"}));
  EXPECT_EQ(first.Read(), "onethree");
  EXPECT_EQ(second.Read(), "two");
}

TEST_P(OutboxTest, TakesNothingOutOfARound) {
  EXPECT_TRUE(outbox_.Space().empty());
  outbox_.Begin();
  EXPECT_FALSE(outbox_.Space().empty());
  outbox_.End();
  EXPECT_TRUE(outbox_.Space().empty());
}

TEST_P(OutboxTest, SpaceIsGivenAgainUntilItIsUsed) {
  outbox_.Begin();
  EXPECT_EQ(outbox_.Space().data(), outbox_.Space().data());
  outbox_.End();
}

// More than one call of io_uring takes.
TEST_P(OutboxTest, SendsAsManyAsItHasSpaceFor) {
  std::vector<Pair> pairs(100);
  for (Pair& pair : pairs) pair = Connected();
  std::vector<std::string> sent(pairs.size());
  Recorder sender;
  size_t count = 0;
  outbox_.Begin();
  for (; !outbox_.Space().empty(); ++count) {
    const std::string message = std::to_string(count) + ".";
    Put(pairs[count % pairs.size()], message, sender);
    sent[count % pairs.size()] += message;
  }
  EXPECT_GT(count, 1000u);
  outbox_.End();
  EXPECT_EQ(sender.told.size(), count);
  for (size_t i = 0; i < pairs.size(); ++i) {
    EXPECT_EQ(pairs[i].Read(), sent[i]);
  }
  outbox_.Begin();
  Put(pairs[0], "again", sender);
  outbox_.End();
  EXPECT_EQ(pairs[0].Read(), "again");
}

TEST_P(OutboxTest, TellsWhatWasNotTaken) {
  const Pair stalled = Connected();
  Pair left = Connected();
  const Pair fine = Connected();
  Recorder sender;
  const std::string large(Outbox::kMostBytes, 'x');
  while (send(stalled.mine.get(), large.data(), large.size(), 0) > 0) {
  }
  left.peer = Descriptor();
  outbox_.Begin();
  Put(stalled, "stalled", sender);
  Put(left, "left", sender);  // No SIGPIPE.
  Put(fine, "fine", sender);
  outbox_.End();
  EXPECT_EQ(sender.told,
            (Strings{"stalled " + std::to_string(-EAGAIN) + " 0",
                     "left " + std::to_string(-EPIPE) + " 0", "fine 4 0"}));
  EXPECT_EQ(fine.Read(), "fine");
}

TEST_P(OutboxTest, ClosesAtTheEndOfARound) {
  Pair pair = Connected();
  Pair other = Connected();
  const auto closer = std::make_shared<Recorder>();
  Recorder sender;
  outbox_.Begin();
  Put(other, "last", sender);
  outbox_.Close(std::move(pair.mine), closer);
  outbox_.Close(std::move(other.mine), nullptr);
  EXPECT_EQ(pair.Read(), "nothing");
  EXPECT_TRUE(closer->told.empty());
  outbox_.End();
  EXPECT_EQ(closer->told, Strings{"closed"});
  EXPECT_EQ(pair.Read(), "EOF");
  EXPECT_EQ(other.Read(), "last");
  EXPECT_EQ(other.Read(), "EOF");
}

TEST_P(OutboxTest, ClosesAtOnceOutOfARound) {
  Pair pair = Connected();
  const auto closer = std::make_shared<Recorder>();
  outbox_.Close(std::move(pair.mine), closer);
  EXPECT_EQ(closer->told, Strings{"closed"});
  EXPECT_EQ(pair.Read(), "EOF");
}

TEST_P(OutboxTest, SettlesInARound) {
  const Pair pair = Connected();
  const Pair other = Connected();
  Recorder sender;
  Recorder another;
  outbox_.Begin();
  Put(pair, "one", sender);
  Put(other, "two", another);
  outbox_.Settle(sender);
  EXPECT_EQ(sender.told, Strings{"one 3 0"});
  EXPECT_EQ(pair.Read(), "one");
  Put(pair, "three", sender);
  outbox_.End();
  EXPECT_EQ(sender.told, (Strings{"one 3 0", "three 5 0"}));
  EXPECT_EQ(another.told, Strings{"two 3 0"});
}

// As where the end of one connection is that of another.
TEST_P(OutboxTest, SettlesWhileItTells) {
  const Pair pair = Connected();
  Recorder first;
  Recorder second;
  first.then = [&] {
    EXPECT_TRUE(outbox_.Space().empty());
    outbox_.Settle(second);
    EXPECT_EQ(second.told, (Strings{"two 3 0", "three 5 0"}));
  };
  outbox_.Begin();
  Put(pair, "one", first);
  Put(pair, "two", second);
  Put(pair, "three", second);
  outbox_.End();
  EXPECT_EQ(first.told, Strings{"one 3 0"});
  EXPECT_EQ(second.told.size(), 2u);
  EXPECT_EQ(pair.Read(), "onetwothree");
}

TEST_P(OutboxTest, ClosesAtOnceWhileItTells) {
  Pair pair = Connected();
  const auto closer = std::make_shared<Recorder>();
  Recorder sender;
  sender.then = [&] { outbox_.Close(std::move(pair.mine), closer); };
  outbox_.Begin();
  Put(pair, "one", sender);
  outbox_.End();
  EXPECT_EQ(closer->told, Strings{"closed"});
  EXPECT_EQ(pair.Read(), "one");
  EXPECT_EQ(pair.Read(), "EOF");
}

TEST_P(OutboxTest, WhoClosesIsKeptUntilThen) {
  Pair pair = Connected();
  auto closer = std::make_shared<Recorder>();
  const std::weak_ptr<Recorder> weak = closer;
  outbox_.Begin();
  outbox_.Close(std::move(pair.mine), std::move(closer));
  EXPECT_FALSE(weak.expired());
  outbox_.End();
  EXPECT_TRUE(weak.expired());
}

// A filter, or a kernel without memory for it, in the midst of the work.
TEST(OutboxWayTest, WhereTheKernelRefusesAllIsDoneByACallEach) {
  for (const int error : {EPERM, ENOSYS, EAGAIN}) {
    // The filter is its thread's.
    std::thread([error] {
      Outbox outbox;
      if (!outbox.sends_together()) return;  // Not on this machine.
      std::array<std::pair<Descriptor, Descriptor>, 2> pairs;
      for (auto& [mine, peer] : pairs) {
        int ends[2];
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        mine = Descriptor(ends[0]);
        peer = Descriptor(ends[1]);
      }
      ASSERT_TRUE(testing::RefuseCall(SYS_io_uring_enter, error));
      const auto closer = std::make_shared<Recorder>();
      Recorder sender;
      outbox.Begin();
      for (const auto& [mine, peer] : pairs) {
        outbox.Space()[0] = 'x';
        outbox.Send(mine.get(), 1, sender, 0);
      }
      outbox.Close(std::move(pairs[0].first), closer);
      outbox.End();
      EXPECT_EQ(sender.told, (Strings{"x 1 0", "x 1 0"}));
      EXPECT_EQ(closer->told, Strings{"closed"});
      for (const auto& [mine, peer] : pairs) {
        char bytes[2];
        EXPECT_EQ(recv(peer.get(), bytes, 2, 0), 1);
      }
      EXPECT_FALSE(outbox.sends_together());
    }).join();
  }
}

TEST(OutboxWayTest, OneByOneWhereTheKernelRefusesFromTheBeginning) {
  std::thread([] {
    ASSERT_TRUE(testing::RefuseCall(SYS_io_uring_enter, EPERM));
    EXPECT_FALSE(Outbox().sends_together());
  }).join();
}

TEST(OutboxWayTest, OneByOneWhereThatIsWanted) {
  EXPECT_FALSE(Outbox(Outbox::Way::kOneByOne).sends_together());
}

}  // namespace
}  // namespace portreeve
