// Looks at the daemon where there is no memory, on its loop or on the thread
// that is asked.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "portreeve/v1/stats.pb.h"
#include "server/stats/stats_board.h"
#include "tests/server/registry_fixture.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::server {
namespace {

class Watcher : public StatsBoard::Watcher {
 public:
  int64_t told() const override { return 0; }
  void OnLook() override { ++looks; }

  int looks = 0;
};

using StatsNoMemoryTest = RegistryTest;

// Without an answer there would be no further look, for anybody, ever.
TEST_F(StatsNoMemoryTest, WhoIsAskedOfTheProcessAnswersWithoutMemory) {
  std::function<void(const ProcessValues&)> answer;
  StatsBoard board(
      loop(), *registry_, events_,
      [&](std::function<void(const ProcessValues&)> then) { answer = then; });
  Watcher watcher;
  board.Join(watcher);
  for (int look = 1; look <= 2; ++look) {
    time().Advance(std::chrono::seconds(1));
    board.WakeAt(watcher, time().Now());
    time().Advance(Duration::zero());
    Settle();
    ASSERT_NE(answer, nullptr);
    testing::RefuseMemoryAfter(0, testing::kUntilGivenAgain);
    std::exchange(answer, nullptr)({});
    EXPECT_FALSE(testing::GiveMemoryAgain());
    Settle();
    EXPECT_EQ(watcher.looks, look);
  }
  board.Leave(watcher);
}

// A look goes on where those who watch have left meanwhile.
TEST_F(StatsNoMemoryTest, NothingIsKeptForNobody) {
  Create("a");
  std::function<void(const ProcessValues&)> answer;
  StatsBoard board(
      loop(), *registry_, events_,
      [&](std::function<void(const ProcessValues&)> then) { answer = then; });
  const auto num_kept = [&board] {
    v1::WatchStatsResponse kept;
    EXPECT_TRUE(kept.ParseFromString(board.MessagesSince(0, {}, 1 << 20)[0]));
    return kept.listeners_size();
  };
  bool refused = true;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    Watcher watcher;
    board.Join(watcher);
    const auto begin = [&] {
      time().Advance(std::chrono::seconds(1));
      board.WakeAt(watcher, time().Now());
      time().Advance(Duration::zero());
      Settle();
      ASSERT_NE(answer, nullptr);
    };
    begin();
    std::exchange(answer, nullptr)({});
    Settle();
    EXPECT_EQ(num_kept(), 1);
    begin();
    board.Leave(watcher);
    EXPECT_EQ(num_kept(), 1);
    std::exchange(answer, nullptr)({});
    refused = testing::SettleWithMemory(loop(), given);
    EXPECT_EQ(num_kept(), 0);
    ASSERT_FALSE(HasFailure());
  }
}

}  // namespace
}  // namespace portreeve::server
