// How requests are counted.
#include "server/control/request_counts.h"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

namespace portreeve::server {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr char kGet[] = "/portreeve.v1.DaemonService/GetDaemon";
constexpr char kList[] = "/portreeve.v1.ListenerService/ListListeners";

class RequestCountsTest : public ::testing::Test {
 protected:
  // The number of the bucket in which a request is that took so long.
  static size_t BucketOf(Duration duration) {
    RequestCounts counts({kGet});
    counts.Count(0, 0, duration);
    const auto buckets = counts.Read()[0].buckets;
    EXPECT_EQ(std::accumulate(buckets.begin(), buckets.end(), int64_t{0}), 1);
    for (size_t i = 0; i < buckets.size(); ++i) {
      if (buckets[i] == 1) return i;
    }
    return buckets.size();
  }

  RequestCounts counts_{{kGet, kList}};
};

TEST_F(RequestCountsTest, MethodsHaveNumbersAndOthersNone) {
  EXPECT_EQ(counts_.Find(kGet), 0);
  EXPECT_EQ(counts_.Find(kList), 1);
  for (const char* other :
       {"", "/", "GetDaemon", "/grpc.health.v1.Health/Check",
        "/portreeve.v1.DaemonService/GetDaemon/"}) {
    EXPECT_EQ(counts_.Find(other), -1) << other;
  }
}

TEST_F(RequestCountsTest, CountsByMethodAndCode) {
  counts_.Count(0, 0, seconds(1));
  counts_.Count(1, 5, seconds(2));
  counts_.Count(1, 5, seconds(3));
  counts_.Count(1, 16, seconds(0));
  // What gRPC does not have.
  counts_.Count(1, 17, seconds(0));
  counts_.Count(1, -1, seconds(0));
  const auto methods = counts_.Read();
  ASSERT_EQ(methods.size(), 2u);
  EXPECT_EQ(methods[0].name, "GetDaemon");
  EXPECT_EQ(methods[0].by_code[0], 1);
  EXPECT_EQ(methods[0].nanoseconds, 1'000'000'000);
  EXPECT_EQ(methods[1].name, "ListListeners");
  EXPECT_EQ(methods[1].by_code[0], 0);
  EXPECT_EQ(methods[1].by_code[2], 2);
  EXPECT_EQ(methods[1].by_code[5], 2);
  EXPECT_EQ(methods[1].by_code[16], 1);
  EXPECT_EQ(methods[1].nanoseconds, 5'000'000'000);
}

TEST_F(RequestCountsTest, ABucketHasItsBound) {
  EXPECT_EQ(BucketOf(nanoseconds(0)), 0u);
  EXPECT_EQ(BucketOf(microseconds(100)), 0u);
  EXPECT_EQ(BucketOf(nanoseconds(100'001)), 1u);
  EXPECT_EQ(BucketOf(microseconds(400)), 1u);
  EXPECT_EQ(BucketOf(seconds(26)), 9u);
  EXPECT_EQ(BucketOf(seconds(27)), 10u);
  EXPECT_EQ(BucketOf(std::chrono::hours(1000)), 10u);
}

TEST_F(RequestCountsTest, WhatWasCountedElsewhereIsAdded) {
  counts_.Count(0, 3, seconds(1));
  counts_.Count(1, 0, microseconds(1));
  // It has others, too.
  RequestCounts next({"/portreeve.v1.WatchService/WatchEvents",
                      "/portreeve.v1.DaemonService/GetDaemon"});
  next.Count(1, 3, seconds(2));
  next.Add(counts_.Read());
  const auto methods = next.Read();
  EXPECT_EQ(methods[0].by_code, decltype(methods[0].by_code)());
  EXPECT_EQ(methods[0].nanoseconds, 0);
  EXPECT_EQ(methods[1].by_code[3], 2);
  EXPECT_EQ(methods[1].by_code[0], 0);
  EXPECT_EQ(methods[1].buckets[7], 1);
  EXPECT_EQ(methods[1].buckets[8], 1);
  EXPECT_EQ(methods[1].nanoseconds, 3'000'000'000);
}

TEST_F(RequestCountsTest, AnyThreadCounts) {
  constexpr int kEach = 10'000;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this] {
      for (int n = 0; n < kEach; ++n) counts_.Count(0, 0, microseconds(1000));
    });
  }
  (void)counts_.Read();
  for (std::thread& thread : threads) thread.join();
  const auto methods = counts_.Read();
  EXPECT_EQ(methods[0].by_code[0], 4 * kEach);
  EXPECT_EQ(methods[0].buckets[2], 4 * kEach);
  EXPECT_EQ(methods[0].nanoseconds, 40'000'000'000);
}

}  // namespace
}  // namespace portreeve::server
