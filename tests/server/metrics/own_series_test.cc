// Which listeners have series of their own.
#include "server/metrics/own_series.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace portreeve::server {
namespace {

// What is expected, in the simplest words: by uid, whether it has its own.
class Model {
 public:
  explicit Model(size_t most) : most_(most) {}

  bool Has(const std::string& uid) {
    const auto it = has_.find(uid);
    if (it != has_.end()) return it->second;
    size_t own = 0;
    for (const auto& [other, is_own] : has_) own += is_own ? 1 : 0;
    return has_[uid] = own < most_;
  }
  bool Forget(const std::string& uid) {
    const auto it = has_.find(uid);
    const bool was_folded = it != has_.end() && !it->second;
    has_.erase(uid);
    return was_folded;
  }

 private:
  const size_t most_;
  std::map<std::string, bool> has_;
};

// Plays the sequence that `number` is, of digits that are events: each of the
// uids is looked at, or forgotten.
void Play(size_t most, int number, int length) {
  const std::vector<std::string> uids = {"a", "b", "c"};
  OwnSeries series(most);
  Model model(most);
  bool has_folded = false;
  for (int i = 0; i < length; ++i, number /= 6) {
    const std::string& uid = uids[static_cast<size_t>(number % 3)];
    if (number % 6 < 3) {
      const bool has = model.Has(uid);
      ASSERT_EQ(series.Has(uid), has);
      has_folded = has_folded || !has;
    } else {
      ASSERT_EQ(series.Forget(uid), model.Forget(uid));
    }
    ASSERT_EQ(series.has_folded(), has_folded);
  }
}

TEST(OwnSeriesTest, WhatAListenerHasStaysUntilItIsForgotten) {
  constexpr int kLength = 5;
  constexpr int kSequences = 6 * 6 * 6 * 6 * 6;
  for (size_t most : {0, 1, 2, 3}) {
    for (int number = 0; number < kSequences; ++number) {
      Play(most, number, kLength);
      ASSERT_FALSE(HasFatalFailure()) << "in sequence " << number;
    }
  }
}

}  // namespace
}  // namespace portreeve::server
