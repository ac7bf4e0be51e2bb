// Dice: random choices that are the same for the same seed everywhere.
#ifndef PORTREEVE_TESTS_MODEL_DICE_H_
#define PORTREEVE_TESTS_MODEL_DICE_H_

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <random>

namespace portreeve::model {

// The distributions of the standard library differ from one to another.
class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}

  // Both ends included.
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() %
                                      static_cast<uint64_t>(high - low + 1));
  }
  bool Percent(int percent) { return Between(1, 100) <= percent; }

  // Each order of magnitude is as likely as the next; from 1 on.
  int64_t Magnitude(int64_t low, int64_t high) {
    int64_t doublings = 0;
    while ((low << (doublings + 1)) <= high) ++doublings;
    const int64_t from = low << Between(0, doublings);
    return Between(from, from * 2 - 1 < high ? from * 2 - 1 : high);
  }

  std::chrono::milliseconds Time(int64_t low, int64_t high) {
    return std::chrono::milliseconds(Between(low, high));
  }

  template <typename T>
  T OneOf(std::initializer_list<T> of) {
    return of.begin()[Between(0, static_cast<int64_t>(of.size()) - 1)];
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace portreeve::model

#endif  // PORTREEVE_TESTS_MODEL_DICE_H_
