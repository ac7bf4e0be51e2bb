// Which bucket a value is in, and what of it is told.
#include "server/events/size_histogram.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "server/events/connection_histograms.h"

namespace portreeve::server {
namespace {

// What a histogram is to be: bound i is `first` times `factor` to the power of
// i, and `per_unit` of its values make a unit.
struct Shape {
  int64_t first;
  int64_t factor;
  size_t num_bounds;
  double per_unit;

  std::vector<int64_t> Bounds() const {
    std::vector<int64_t> bounds;
    int64_t bound = first;
    for (size_t i = 0; i < num_bounds; ++i, bound *= factor) {
      bounds.push_back(bound);
    }
    return bounds;
  }
  // The same by looking at each.
  size_t BucketOf(int64_t value) const {
    size_t bucket = 0;
    for (const int64_t bound : Bounds()) {
      if (value <= bound) return bucket;
      ++bucket;
    }
    return bucket;
  }
};

// Values next to every bound, to every power of 2, and to the ends.
std::vector<int64_t> ValuesFor(const Shape& shape) {
  std::vector<int64_t> values = {std::numeric_limits<int64_t>::min(),
                                 std::numeric_limits<int64_t>::max() - 1,
                                 std::numeric_limits<int64_t>::max()};
  std::vector<int64_t> about = shape.Bounds();
  about.push_back(0);
  for (int i = 0; i < 63; ++i) about.push_back(int64_t{1} << i);
  for (const int64_t value : about) {
    for (int64_t near = -2; near <= 2; ++near) values.push_back(value + near);
  }
  return values;
}

template <typename Histogram>
void Explore(const Shape& shape) {
  ASSERT_EQ(Histogram::kNumBuckets, shape.num_bounds + 1);
  for (size_t i = 0; i < shape.num_bounds; ++i) {
    EXPECT_EQ(Histogram::BoundOf(i),
              static_cast<double>(shape.Bounds()[i]) / shape.per_unit);
  }
  Histogram all;
  std::vector<int64_t> counts(shape.num_bounds + 1);
  for (const int64_t value : ValuesFor(shape)) {
    const size_t bucket = shape.BucketOf(value);
    EXPECT_EQ(Histogram::BucketOf(value), bucket) << value;
    Histogram one;
    one.Count(value);
    all.Count(value);
    ++counts[bucket];
    EXPECT_EQ(one.counts()[bucket], 1) << value;
    EXPECT_EQ(one.total(), 1) << value;
    const double told = value < 0 ? 0 : static_cast<double>(value);
    EXPECT_EQ(one.sum(), told / shape.per_unit) << value;
  }
  EXPECT_EQ(std::vector<int64_t>(all.counts().begin(), all.counts().end()),
            counts);
  for (const int64_t count : counts) EXPECT_GT(count, 0);
}

TEST(SizeHistogramTest, EveryValueIsInTheBucketOfTheFirstBoundThatItIsWithin) {
  Explore<ConnectionHistograms::Durations>({1'000'000, 4, 13, 1e9});
  Explore<ConnectionHistograms::ConnectTimes>({100'000, 4, 10, 1e9});
  Explore<ConnectionHistograms::Bytes>({64, 16, 8, 1});
  Explore<SizeHistogram<1, 1, 5, 1>>({1, 2, 5, 1});
  Explore<SizeHistogram<3, 3, 4, 10>>({3, 8, 4, 10});
}

// As docs/MONITORING.md and stats.proto say.
TEST(SizeHistogramTest, BoundsAreThoseThatAreDocumented) {
  using Histograms = ConnectionHistograms;
  EXPECT_EQ(Histograms::Durations::BoundOf(0), 0.001);
  EXPECT_EQ(Histograms::Durations::BoundOf(1), 0.004);
  EXPECT_EQ(Histograms::Durations::BoundOf(12), 16777.216);
  EXPECT_EQ(Histograms::ConnectTimes::BoundOf(0), 0.0001);
  EXPECT_EQ(Histograms::ConnectTimes::BoundOf(9), 26.2144);
  EXPECT_EQ(Histograms::Bytes::BoundOf(0), 64);
  EXPECT_EQ(Histograms::Bytes::BoundOf(7), 16.0 * (1 << 30));
}

TEST(SizeHistogramTest, OneIsAddedToAnother) {
  SizeHistogram<10, 1, 2, 2> a;
  SizeHistogram<10, 1, 2, 2> b;
  for (const int64_t value : {5, 15, 100}) a.Count(value);
  for (const int64_t value : {10, 21}) b.Count(value);
  a.Add(b);
  EXPECT_EQ(a.counts(), (std::array<int64_t, 3>{2, 1, 2}));
  EXPECT_EQ(a.total(), 5);
  EXPECT_EQ(a.sum(), 75.5);
}

// 292 years of nanoseconds are more than an int64_t holds.
TEST(SizeHistogramTest, TheSumGrowsBeyondWhatOneValueCanBe) {
  ConnectionHistograms::Durations durations;
  constexpr int64_t kYear = int64_t{365} * 86'400 * 1'000'000'000;
  for (int i = 0; i < 1000; ++i) durations.Count(kYear);
  EXPECT_EQ(durations.sum(), 1000 * 365 * 86'400.0);
}

TEST(SizeHistogramTest, AConnectionCountsInEachButThatOfUpstreams) {
  ConnectionHistograms histograms;
  histograms.CountEnd(2'000'000, 65, 1);
  EXPECT_EQ(histograms.duration.counts()[1], 1);
  EXPECT_EQ(histograms.received.counts()[1], 1);
  EXPECT_EQ(histograms.received.sum(), 65);
  EXPECT_EQ(histograms.sent.counts()[0], 1);
  EXPECT_EQ(histograms.sent.sum(), 1);
  EXPECT_EQ(histograms.connect.total(), 0);
  histograms.connect.Count(1);
  ConnectionHistograms sum;
  sum.Add(histograms);
  sum.Add(histograms);
  EXPECT_EQ(sum.duration.total(), 2);
  EXPECT_EQ(sum.received.total(), 2);
  EXPECT_EQ(sum.sent.total(), 2);
  EXPECT_EQ(sum.connect.total(), 2);
}

// What counts at the end of each connection neither allocates nor has anything
// to undo.
TEST(SizeHistogramTest, ItIsAPlainValue) {
  EXPECT_TRUE(std::is_trivially_copyable_v<ConnectionHistograms>);
  EXPECT_TRUE(std::is_trivially_destructible_v<ConnectionHistograms>);
}

}  // namespace
}  // namespace portreeve::server
