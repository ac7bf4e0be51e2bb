// LingerPolicy under every short sequence of looks.
#include "lib/net/linger_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

namespace portreeve {
namespace {

using End = LingerPolicy::End;
using Input = LingerPolicy::Input;
using std::chrono::milliseconds;

constexpr TimePoint kBegin{std::chrono::hours(1)};
constexpr milliseconds kLimit{6};

// When a look comes: because the socket is readable, when the policy wants it,
// or late, at the deadline.
enum class When { kAtOnce, kAsWanted, kAtDeadline };

struct Look {
  When when;
  int64_t discarded;
  Input input;
  int64_t unacknowledged;
};

std::vector<Look> AllLooks() {
  std::vector<Look> looks;
  for (When when : {When::kAtOnce, When::kAsWanted, When::kAtDeadline}) {
    for (int64_t discarded : {0, 5}) {
      for (Input input :
           {Input::kNothing, Input::kMore, Input::kEnd, Input::kFailure}) {
        for (int64_t unacknowledged : {0, 1, 10}) {
          looks.push_back({when, discarded, input, unacknowledged});
        }
      }
    }
  }
  return looks;
}

// What must be true, from the list of looks alone.
class Model {
 public:
  explicit Model(bool peer_sends) : peer_sends_(peer_sends) {}

  TimePoint now = kBegin;
  TimePoint deadline = kBegin + kLimit;

  TimePoint next_look() const {
    return std::min(kBegin + next_after_, deadline);
  }

  End OnLook(const Look& look) {
    if (look.when == When::kAsWanted) now = std::max(now, next_look());
    if (look.when == When::kAtDeadline) now = std::max(now, deadline);
    peer_sends_ |= look.discarded > 0;
    // Each exception is told before what it is one of.
    if (look.input == Input::kFailure) return End::kPeerReset;
    if (look.input == Input::kEnd) return End::kPeerEnded;
    if (look.unacknowledged == 0) return End::kAcknowledged;
    if (now < deadline) {
      if (now >= kBegin + next_after_) {
        delay_ *= 2;  // The deadline comes before the longest one.
        next_after_ = now - kBegin + delay_;
      }
      return End::kNone;
    }
    if (look.unacknowledged == 1) return End::kLeftToKernel;
    return peer_sends_ ? End::kForced : End::kLeftToKernel;
  }

 private:
  bool peer_sends_;
  Duration delay_ = milliseconds(1);
  Duration next_after_ = milliseconds(1);
};

class Explorer {
 public:
  void Explore(bool peer_sends, int length) {
    Extend(LingerPolicy(kBegin, kBegin + kLimit, peer_sends), Model(peer_sends),
           length);
  }
  int64_t num_sequences() const { return num_sequences_; }

 private:
  void Extend(const LingerPolicy& policy, const Model& model, int length) {
    EXPECT_EQ(policy.next_look(), model.next_look());
    if (length == 0 || ::testing::Test::HasFailure()) return;
    for (const Look& look : looks_) {
      LingerPolicy next_policy = policy;
      Model next_model = model;
      ++num_sequences_;
      const End expected = next_model.OnLook(look);
      ASSERT_EQ(next_policy.OnLook(next_model.now, look.discarded, look.input,
                                   look.unacknowledged),
                expected);
      if (expected != End::kNone) continue;
      Extend(next_policy, next_model, length - 1);
    }
    LingerPolicy hurried_policy = policy;
    Model hurried_model = model;
    hurried_policy.EndBy(kBegin + kLimit / 2);
    hurried_policy.EndBy(kBegin + kLimit);  // Does not prolong it.
    hurried_model.deadline = std::min(model.deadline, kBegin + kLimit / 2);
    Extend(hurried_policy, hurried_model, length - 1);
  }

  const std::vector<Look> looks_ = AllLooks();
  int64_t num_sequences_ = 0;
};

TEST(LingerPolicy, HoldsUnderEveryShortSequenceOfLooks) {
  Explorer explorer;
  explorer.Explore(false, 4);
  explorer.Explore(true, 4);
  EXPECT_GT(explorer.num_sequences(), 400000);
}

TEST(LingerPolicy, LooksAt1And2And4MsAndInTheEndEvery100) {
  LingerPolicy policy(kBegin, TimePoint::max(), true);
  TimePoint before = kBegin;
  std::vector<int64_t> delays;
  for (int i = 0; i < 10; ++i) {
    const TimePoint next = policy.next_look();
    delays.push_back((next - before) / milliseconds(1));
    before = next;
    EXPECT_EQ(policy.OnLook(next, 0, Input::kNothing, 10), End::kNone);
  }
  EXPECT_EQ(delays,
            std::vector<int64_t>({1, 2, 4, 8, 16, 32, 64, 100, 100, 100}));
}

}  // namespace
}  // namespace portreeve
