#include "lib/net/descriptor_budget.h"

#include <gtest/gtest.h>

#include <vector>

namespace portreeve {
namespace {

TEST(DescriptorBudget, WakesThoseWhoWaitInTheirOrderAsFarAsItReaches) {
  DescriptorBudget budget(3);
  budget.Take(3);
  EXPECT_FALSE(budget.Has(1));
  std::vector<int> woken;
  DescriptorBudget::Waiter two(budget, [&] {
    woken.push_back(2);
    budget.Take(2);
  });
  DescriptorBudget::Waiter one(budget, [&] {
    woken.push_back(1);
    budget.Take(1);
  });
  two.Join(2);
  one.Join(1);
  one.Join(1);  // It stands there already.
  budget.GiveBack(1);
  EXPECT_EQ(woken, std::vector<int>());  // The first one needs two.
  budget.GiveBack(2);
  EXPECT_EQ(woken, (std::vector<int>{2, 1}));
  budget.GiveBack(1);
  EXPECT_EQ(woken.size(), 2u);
  EXPECT_EQ(budget.num_free(), 1);
}

TEST(DescriptorBudget, OneThatLeavesIsNotWoken) {
  DescriptorBudget budget(0);
  bool woken = false;
  {
    DescriptorBudget::Waiter gone(budget, [&] { woken = true; });
    gone.Join(1);
  }
  DescriptorBudget::Waiter left(budget, [&] { woken = true; });
  left.Join(1);
  left.Leave();
  budget.GiveBack(5);
  EXPECT_FALSE(woken);
}

TEST(DescriptorBudget, OneThatJoinsAgainInItsTurnIsNotWokenTwice) {
  DescriptorBudget budget(0);
  int times = 0;
  DescriptorBudget::Waiter* self = nullptr;
  DescriptorBudget::Waiter waiter(budget, [&] {
    ++times;
    self->Join(1);
  });
  self = &waiter;
  waiter.Join(1);
  budget.GiveBack(1);
  EXPECT_EQ(times, 1);
}

}  // namespace
}  // namespace portreeve
