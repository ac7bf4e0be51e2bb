#include "lib/base/loop.h"

#include <gtest/gtest.h>

#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/log.h"
#include "lib/base/time_source.h"

namespace portreeve::server {
namespace {

TEST(LoopTest, RunsOnItsOwnThreadAndGivesTheResult) {
  Loop loop;
  EXPECT_FALSE(loop.OnLoop());
  EXPECT_TRUE(loop.Run([&] { return loop.OnLoop(); }).get());
}

TEST(LoopTest, RunThrowsWhatTheFunctionThrows) {
  Loop loop;
  auto result = loop.Run([]() -> int { throw std::runtime_error("no"); });
  EXPECT_THROW(result.get(), std::runtime_error);
  EXPECT_EQ(loop.Run([] { return 1; }).get(), 1);
}

Task<> SleepThen(Duration delay, bool* done) {
  co_await Sleep(delay);
  *done = true;
}
Task<> SleepThenThrow() {
  co_await Sleep(std::chrono::milliseconds(1));
  throw std::runtime_error("no");
}

TEST(LoopTest, RunTaskEndsWithTheTask) {
  Loop loop;
  bool done = false;
  loop.RunTask(SleepThen(std::chrono::milliseconds(1), &done)).get();
  EXPECT_TRUE(done);
  EXPECT_THROW(loop.RunTask(SleepThenThrow()).get(), std::runtime_error);
}

TEST(LoopTest, JoinWaitsForWhatRuns) {
  bool done = false;
  Loop loop;
  auto ended = loop.RunTask(SleepThen(std::chrono::milliseconds(20), &done));
  loop.Join();
  EXPECT_TRUE(done);
  loop.Join();
}

TEST(LoopTest, WhatIsPostedThrowsIntoTheLogAndTheLoopGoesOn) {
  std::mutex mutex;
  std::string logged;
  SetLogSink([&](const LogLine& line) {
    const std::lock_guard lock(mutex);
    logged += TextOf(line);
  });
  {
    Loop loop;
    loop.Post([] { throw std::runtime_error("a fault"); });
    EXPECT_EQ(loop.Run([] { return 1; }).get(), 1);
  }
  SetLogSink(nullptr);
  const std::lock_guard lock(mutex);
  EXPECT_NE(logged.find("a fault"), std::string::npos);
}

TEST(LoopTest, PostAfterAllComesAfterWhatTheLoopHasPostedItself) {
  std::vector<std::string> seen;
  {
    Loop loop;
    loop.Run([&] {
          loop.Post([&] { seen.push_back("the loop's"); });
          // Before this step ends.
          std::thread([&] {
            loop.PostAfterAll([&] { seen.push_back("another's"); });
          }).join();
        })
        .get();
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"the loop's", "another's"}));
}

TEST(LoopTest, ThreadsPostInTheirOrder) {
  constexpr int kThreads = 4, kPosts = 1000;
  std::vector<std::vector<int>> seen(kThreads);
  {
    Loop loop;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&loop, &seen, t] {
        for (int i = 0; i < kPosts; ++i) {
          loop.Post(
              [&seen, t, i] { seen[static_cast<size_t>(t)].push_back(i); });
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  for (const auto& numbers : seen) {
    ASSERT_EQ(numbers.size(), static_cast<size_t>(kPosts));
    for (int i = 0; i < kPosts; ++i) {
      EXPECT_EQ(numbers[static_cast<size_t>(i)], i);
    }
  }
}

}  // namespace
}  // namespace portreeve::server
