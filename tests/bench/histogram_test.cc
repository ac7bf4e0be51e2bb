#include "bench/histogram.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace portreeve::bench {
namespace {

TEST(HistogramTest, IsEmptyAtFirst) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.Quantile(0.5), 0u);
  EXPECT_EQ(histogram.max(), 0u);
}

TEST(HistogramTest, IsExactForFewNanoseconds) {
  Histogram histogram;
  for (uint64_t i = 1; i <= 60; ++i) histogram.Record(i);
  EXPECT_EQ(histogram.Quantile(0.5), 30u);
  EXPECT_EQ(histogram.Quantile(0.99), 60u);
  EXPECT_EQ(histogram.Quantile(1), 60u);
}

TEST(HistogramTest, IsExactToTwoPercentAtAnySize) {
  for (uint64_t value = 1; value < uint64_t{1} << 60;
       value = value * 5 / 4 + 1) {
    Histogram histogram;
    histogram.Record(value);
    // Not the largest, which is told exactly.
    for (int i = 0; i < 3; ++i) histogram.Record(~uint64_t{0});
    const uint64_t found = histogram.Quantile(0.25);
    EXPECT_GE(found, value);
    EXPECT_LE(found - value, value / 50) << value;
  }
}

TEST(HistogramTest, FindsTheRareOnes) {
  Histogram histogram;
  for (int i = 0; i < 990; ++i) histogram.Record(10);
  for (int i = 0; i < 9; ++i) histogram.Record(1'000);
  histogram.Record(1'000'000);
  EXPECT_EQ(histogram.Quantile(0.99), 10u);
  EXPECT_NEAR(static_cast<double>(histogram.Quantile(0.999)), 1'000, 20);
  EXPECT_EQ(histogram.Quantile(1), 1'000'000u);
  EXPECT_EQ(histogram.max(), 1'000'000u);
  EXPECT_EQ(histogram.count(), 1'000u);
}

}  // namespace
}  // namespace portreeve::bench
