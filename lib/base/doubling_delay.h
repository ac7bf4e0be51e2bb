// DoublingDelay: when to look again at what the kernel does not report.
#ifndef PORTREEVE_LIB_BASE_DOUBLING_DELAY_H_
#define PORTREEVE_LIB_BASE_DOUBLING_DELAY_H_

#include <algorithm>
#include <chrono>

namespace portreeve {

// The delays are 1, 2, 4, 8, 16, 32 and 64 ms, and 100 ms from then on.
class DoublingDelay {
 public:
  std::chrono::milliseconds Next() {
    const std::chrono::milliseconds delay = next_;
    next_ = std::min(2 * next_, kLongest);
    return delay;
  }

 private:
  static constexpr std::chrono::milliseconds kLongest{100};
  std::chrono::milliseconds next_{1};
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_DOUBLING_DELAY_H_
