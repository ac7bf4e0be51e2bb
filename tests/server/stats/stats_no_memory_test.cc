// Looks at the daemon where another thread has no memory to answer by.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <utility>

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

}  // namespace
}  // namespace portreeve::server
