// Pattern: bytes of which each follows from its place.
#ifndef PORTREEVE_BENCH_PATTERN_H_
#define PORTREEVE_BENCH_PATTERN_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace portreeve::bench {

// An endless stream that repeats after a prime number of bytes, so that bytes
// which are lost, doubled or exchanged show.
class Pattern {
 public:
  // How many bytes from any position stand in one piece.
  static constexpr uint64_t kChunk = 256 << 10;

  Pattern() : bytes_(kPeriod + kChunk) {
    uint32_t state = 1;
    for (uint64_t i = 0; i < kPeriod; ++i) {
      state = state * 1664525 + 1013904223;
      bytes_[i] = static_cast<char>(state >> 24);
    }
    for (uint64_t i = kPeriod; i < bytes_.size(); ++i) {
      bytes_[i] = bytes_[i - kPeriod];
    }
  }

  // Gives kChunk bytes from `position` on.
  const char* At(uint64_t position) const {
    return &bytes_[position % kPeriod];
  }

  bool Matches(uint64_t position, const char* data, uint64_t size) const {
    return std::memcmp(At(position), data, size) == 0;
  }

 private:
  static constexpr uint64_t kPeriod = 65521;

  std::vector<char> bytes_;
};

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_PATTERN_H_
