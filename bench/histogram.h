// Histogram: counts times in buckets of nearly equal relative width.
#ifndef PORTREEVE_BENCH_HISTOGRAM_H_
#define PORTREEVE_BENCH_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace portreeve::bench {

// Counts nanoseconds.  Each power of two is cut into 64 buckets, so that a
// quantile is exact to 1.6 %.
class Histogram {
 public:
  void Record(uint64_t nanoseconds) {
    ++buckets_[Index(nanoseconds)];
    ++count_;
    max_ = std::max(max_, nanoseconds);
  }

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }

  // Gives the smallest bound that at least the fraction `quantile` of the
  // recorded values do not exceed; 0 if there are no values.
  uint64_t Quantile(double quantile) const {
    const auto wanted = static_cast<uint64_t>(
        std::ceil(quantile * static_cast<double>(count_)));
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen > 0 && seen >= wanted) return std::min(max_, UpperBound(i));
    }
    return max_;
  }

 private:
  static constexpr int kBits = 6;
  static constexpr uint64_t kSteps = uint64_t{1} << kBits;

  // Values below kSteps have a bucket each; above, the leading kBits + 1 bits
  // and their place name the bucket.
  static size_t Index(uint64_t value) {
    if (value < kSteps) return value;
    const int shift = std::bit_width(value) - 1 - kBits;
    return (static_cast<size_t>(shift) << kBits) + (value >> shift);
  }

  // The largest value of a bucket.
  static uint64_t UpperBound(size_t index) {
    if (index < kSteps) return index;
    const uint64_t shift = (index >> kBits) - 1;
    const uint64_t leading = index - (shift << kBits);
    return ((leading + 1) << shift) - 1;
  }

  std::array<uint64_t, (64 - kBits + 1) * kSteps> buckets_{};
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_HISTOGRAM_H_
