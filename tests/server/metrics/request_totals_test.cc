#include "server/metrics/request_totals.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <numeric>

namespace portreeve::server {
namespace {

constexpr char kMethod[] = "/portreeve.v1.DaemonService/GetDaemon";

TEST(RequestTotalsTest, WhatIsSavedIsWhatIsRestored) {
  RequestCounts counts({kMethod});
  for (int i = 0; i < 40; ++i) {
    counts.Count(0, i % 19, std::chrono::microseconds(int64_t{1} << i));
  }
  const RequestCounts::Method saved = counts.Read()[0];
  RequestCounts next({kMethod});
  next.Add({FromTotals(ToTotals(saved))});
  const RequestCounts::Method restored = next.Read()[0];
  EXPECT_EQ(restored.by_code, saved.by_code);
  EXPECT_EQ(restored.buckets, saved.buckets);
  EXPECT_EQ(restored.nanoseconds, saved.nanoseconds);
}

// As an older or a newer version may have them.
TEST(RequestTotalsTest, WithOtherBucketsAndCodesNoCountFalls) {
  internal::v1::RequestTotals totals;
  totals.set_method("GetDaemon");
  for (const double bound : {0.0001, 0.0005, 1.0, 100.0}) {
    totals.add_bounds(bound);
  }
  for (const int count : {1, 2, 4, 8, 16}) totals.add_counts(count);
  for (int i = 0; i < 19; ++i) totals.add_by_code(1);
  const RequestCounts::Method method = FromTotals(totals);
  EXPECT_EQ(method.buckets[0], 1);
  EXPECT_EQ(method.buckets[2], 2);
  EXPECT_EQ(method.buckets[7], 4);
  EXPECT_EQ(method.buckets[10], 24);
  EXPECT_EQ(method.by_code[2], 3);
  EXPECT_EQ(method.by_code[16], 1);
  EXPECT_EQ(std::accumulate(method.by_code.begin(), method.by_code.end(), 0),
            19);
}

}  // namespace
}  // namespace portreeve::server
