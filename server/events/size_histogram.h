// SizeHistogram: how often values came, by their size.
#ifndef PORTREEVE_SERVER_EVENTS_SIZE_HISTOGRAM_H_
#define PORTREEVE_SERVER_EVENTS_SIZE_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "absl/numeric/int128.h"

namespace portreeve::server {

// Bucket i has the values that are at most first · 2^(shift · i) and larger
// than those of the bucket before; there are `num_bounds` of these, and one
// more, which has no bound.  Values are whole numbers, of which `per_unit` make
// the unit that is told: nanoseconds, told as seconds.
//
// Counting takes no memory, and does not search.
// Threads: one.
template <int64_t first, int shift, size_t num_bounds, int64_t per_unit>
class SizeHistogram {
 public:
  static constexpr size_t kNumBuckets = num_bounds + 1;

  // Gives the bucket of a value.
  static constexpr size_t BucketOf(int64_t value) {
    if (value <= first) return 0;
    // It is above a bound of first · 2^n if, and only if, this is 2^n at least.
    const uint64_t beyond =
        static_cast<uint64_t>(value - 1) / static_cast<uint64_t>(first);
    // It is not 0, which the 1 tells the compiler, too.
    const auto n = static_cast<size_t>(63 - std::countl_zero(beyond | 1));
    return std::min(n / shift + 1, num_bounds);
  }
  // Gives the bound of a bucket < num_bounds, in units.
  static constexpr double BoundOf(size_t bucket) {
    return static_cast<double>(LargestOf(bucket)) / per_unit;
  }
  // Gives the same, not in units.
  static constexpr int64_t LargestOf(size_t bucket) {
    return first << (shift * bucket);
  }

  // Counts a value; one below 0 counts as 0.
  void Count(int64_t value) {
    ++counts_[BucketOf(value)];
    // A sum of nanoseconds does not fit 64 bits: a thousand connections have
    // lived for 292 years before they are four months old.
    sum_ += static_cast<uint64_t>(std::max(value, int64_t{0}));
  }

  // Adds those of `other`.
  void Add(const SizeHistogram& other) {
    for (size_t i = 0; i < kNumBuckets; ++i) counts_[i] += other.counts_[i];
    sum_ += other.sum_;
  }

  // Adds `count` values that are at most `largest`, and larger than those of
  // the bucket before in the histogram that has counted them; it may have had
  // other bounds.  Their sum is not added.
  void AddCounted(int64_t largest, int64_t count) {
    counts_[BucketOf(largest)] += count;
  }
  // Adds to the sum, not in units.
  void AddToSum(absl::uint128 sum) { sum_ += sum; }
  absl::uint128 exact_sum() const { return sum_; }

  // Gives how many values each bucket has; they do not add up.
  const std::array<int64_t, kNumBuckets>& counts() const { return counts_; }
  // Gives how many values there are.
  int64_t total() const {
    return std::accumulate(counts_.begin(), counts_.end(), int64_t{0});
  }
  // Gives the sum of the values, in units.
  double sum() const { return static_cast<double>(sum_) / per_unit; }

 private:
  std::array<int64_t, kNumBuckets> counts_{};
  absl::uint128 sum_ = 0;  // Not in units.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_EVENTS_SIZE_HISTOGRAM_H_
