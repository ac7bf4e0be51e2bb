// Outbox and PipePool where there is no memory.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "lib/lane/outbox.h"
#include "lib/lane/pipe_pool.h"
#include "lib/net/descriptor_part.h"
#include "tests/testing/descriptors.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::testing {
namespace {

class Counter final : public Outbox::Sender, public Outbox::Closer {
 public:
  void OnSent(ssize_t result, std::string_view, int) override {
    num_bytes += result;
  }
  void OnClosed() override { ++num_closed; }

  ssize_t num_bytes = 0;
  int num_closed = 0;
};

struct Pair {
  Pair() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    mine = Descriptor(ends[0]);
    peer = Descriptor(ends[1]);
  }
  Descriptor mine;
  Descriptor peer;
};

class OutboxNoMemoryTest : public ::testing::TestWithParam<Outbox::Way> {
 protected:
  // More than an outbox has memory for from the beginning.
  static constexpr size_t kMany = 600;

  Outbox outbox_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Ways, OutboxNoMemoryTest,
                         ::testing::Values(Outbox::Way::kTogether,
                                           Outbox::Way::kOneByOne));

TEST_P(OutboxNoMemoryTest, WhateverIsClosedInARoundIsClosed) {
  const auto closer = std::make_shared<Counter>();
  std::vector<Pair> pairs(kMany);
  outbox_.Begin();
  RefuseMemoryAfter(0);
  for (Pair& pair : pairs) outbox_.Close(std::move(pair.mine), closer);
  EXPECT_FALSE(GiveMemoryAgain());
  outbox_.End();
  EXPECT_EQ(closer->num_closed, static_cast<int>(kMany));
  for (const Pair& pair : pairs) {
    char byte;
    EXPECT_EQ(recv(pair.peer.get(), &byte, 1, 0), 0);
  }
}

// Whoever was given space can send what is put there.
TEST_P(OutboxNoMemoryTest, SpaceIsGivenWhereThereIsMemoryToSendIt) {
  for (int given = 0; given < 4; ++given) {
    const std::vector<Pair> pairs(10);  // One would not take all.
    Counter sender;
    size_t count = 0;
    outbox_.Begin();
    RefuseMemoryAfter(given);
    for (size_t i = 0; i < kMany; ++i) {
      const std::span<char> space = outbox_.Space();
      if (space.empty()) break;
      space[0] = 'x';
      outbox_.Send(pairs[i % pairs.size()].mine.get(), 1, sender, 0);
      ++count;
    }
    (void)GiveMemoryAgain();
    outbox_.End();
    EXPECT_EQ(sender.num_bytes, static_cast<ssize_t>(count));
    ssize_t received = 0;
    for (const Pair& pair : pairs) {
      char bytes[kMany];
      received +=
          std::max<ssize_t>(0, recv(pair.peer.get(), bytes, sizeof bytes, 0));
    }
    EXPECT_EQ(received, static_cast<ssize_t>(count));
  }
}

// How many pipes there may be now.
int NumFreePipes() {
  int count = 0;
  while (DescriptorPart::OfPipes().Take()) ++count;
  DescriptorPart::OfPipes().GiveBack(count);
  return count;
}

TEST(PipePoolNoMemoryTest, APipeThatIsNotMadeTakesNothing) {
  const int descriptors = CountDescriptors();
  const int free = NumFreePipes();
  bool refused = true;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, 100);
    {
      PipePool pool;
      RefuseMemoryAfter(given);
      try {
        const auto pipe = pool.Take();
        EXPECT_NE(pipe, nullptr);
        EXPECT_EQ(NumFreePipes(), free - 1);
      } catch (const std::bad_alloc&) {
      }
      refused = GiveMemoryAgain();
      EXPECT_EQ(NumFreePipes(), free);
    }
    EXPECT_EQ(CountDescriptors(), descriptors);
  }
}

TEST(PipePoolNoMemoryTest, APipeIsGivenBackWithoutAny) {
  const int free = NumFreePipes();
  {
    PipePool pool;
    std::vector<std::unique_ptr<Pipe>> pipes(4);
    for (auto& pipe : pipes) pipe = pool.Take();
    RefuseMemoryAfter(0);
    for (auto& pipe : pipes) pool.GiveBack(std::move(pipe));
    EXPECT_FALSE(GiveMemoryAgain());
    for (auto& pipe : pipes) pipe = pool.Take();
    EXPECT_EQ(NumFreePipes(), free - 4);
  }
  EXPECT_EQ(NumFreePipes(), free);
}

}  // namespace
}  // namespace portreeve::testing
