// FloodPolicy under every short sequence of changes, and at its limits.
#include "server/control/flood_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace portreeve::server {
namespace {

using Excess = FloodPolicy::Excess;
using Totals = FloodPolicy::Totals;
using std::chrono::milliseconds;

// A leaky bucket in other words: what runs over is the most that came in any
// stretch of time up to now, beyond what leaks in it.
class BucketModel {
 public:
  explicit BucketModel(int64_t per_second) : per_second_(per_second) {}

  void Add(int64_t at_ms, int64_t added) { added_.push_back({at_ms, added}); }

  int64_t Level() const {
    int64_t most = 0;
    int64_t sum = 0;
    for (size_t i = added_.size(); i-- > 0;) {
      sum += added_[i].count;
      most = std::max(most, sum);
      if (i > 0) {
        sum -= (added_[i].at_ms - added_[i - 1].at_ms) * per_second_ / 1000;
      }
    }
    return most;
  }

 private:
  struct Added {
    int64_t at_ms;
    int64_t count;
  };
  const int64_t per_second_;
  std::vector<Added> added_;
};

class Model {
 public:
  Excess Look(int64_t now_ms, const Totals& now) {
    const int64_t message_bytes = now.message_bytes - last_.message_bytes;
    const int64_t messages = now.messages - last_.messages;
    const int64_t calls = now.begun - last_.begun;
    const int64_t sent = now.sent - last_.sent;
    cancelled_.Add(now_ms, now.cancelled - last_.cancelled);
    bytes_.Add(now_ms, now.received_bytes - last_.received_bytes -
                           message_bytes * 9 / 8 - messages * 48 - sent * 64 -
                           calls * 16 * 1024);
    const uint32_t segments = now.received_segments - last_.received_segments;
    segments_.Add(now_ms, int64_t{segments} - messages * 2 - sent * 2 -
                              message_bytes / 512 - calls * 16);
    last_ = now;
    if (now.carrying >= carrying_ || now_ms >= until_ms_) {
      const int64_t ended = std::max(carrying_ - now.carrying, 0);
      bytes_.Add(now_ms, -ended * 512 * 1024);
      segments_.Add(now_ms, -ended * 1024);
      carrying_ = now.carrying;
      until_ms_ = now_ms + 10'000;
    }
    const int of_others = std::max(now.answered - now.unjoined - now.ended, 0);
    if (now.in_flight - now.carrying - now.unjoined -
            std::min(now.ended, now.most_of_connections) -
            std::min(of_others, 500) >
        1000) {
      return Excess::kCalls;
    }
    if (cancelled_.Level() > 2000) return Excess::kCancelled;
    if (bytes_.Level() > 1024 * 1024 + int64_t{carrying_} * 512 * 1024) {
      return Excess::kBytes;
    }
    if (segments_.Level() > 20'000 + carrying_ * 1024) {
      return Excess::kSegments;
    }
    return Excess::kNone;
  }

 private:
  Totals last_;
  int carrying_ = 0;
  int64_t until_ms_ = 0;
  BucketModel cancelled_{500};
  BucketModel bytes_{256 * 1024};
  BucketModel segments_{5'000};
};

constexpr int kNumChanges = 13;

// Makes change number `change`, or lets time pass.
void Apply(int change, Totals& totals, int64_t& now_ms) {
  switch (change) {
    case 0:
      now_ms += 25;
      return;
    case 1:
      now_ms += 2'000;
      return;
    case 2:  // Silence for longer than anybody looks back.
      now_ms += 90'000;
      return;
    case 3:  // Calls that end.
      totals.begun += 100;
      totals.received_bytes += 100 * 200;
      totals.received_segments += 100;
      return;
    case 4:
      totals.begun += 1'200;
      totals.cancelled += 1'200;
      return;
    case 5:
      totals.received_bytes += 600 << 10;
      return;
    case 6:
      totals.received_segments += 11'000;
      return;
    case 7:
      totals.messages += 64;
      totals.message_bytes += 4 << 20;
      totals.received_bytes += (4 << 20) + 40'000;
      totals.received_segments += 5'000;
      return;
    case 8:
      totals.in_flight += 501;
      return;
    case 9:
      totals.in_flight += 1;
      totals.carrying += 1;
      return;
    case 10:  // Some that connect; and what a client sends for what it is sent.
      totals.in_flight += 10;
      totals.unjoined += 10;
      totals.sent += 1'000;
      totals.received_bytes += 60'000;
      totals.received_segments += 2'100;
      return;
    case 11:  // Some that gRPC is slow to be done with.
      totals.in_flight += 400;
      totals.answered += 400;
      return;
    case 12:  // All that are carried end, and new ones come.
      totals.ended += totals.carrying;
      totals.answered += totals.carrying;
      totals.carrying = 700;
      totals.in_flight += 700;
      totals.most_of_connections = 700 + totals.unjoined;
      return;
  }
}

// Every sequence of `length` changes, after each of which is looked.
int64_t Explore(int length, const Totals& from) {
  int64_t num_sequences = 1;
  for (int i = 0; i < length; ++i) num_sequences *= kNumChanges;
  for (int64_t sequence = 0; sequence < num_sequences; ++sequence) {
    FloodPolicy policy;
    Model model;
    Totals totals = from;
    int64_t now_ms = 3'600'000;
    std::string text;
    (void)policy.Look(TimePoint(milliseconds(now_ms)), totals);
    (void)model.Look(now_ms, totals);
    int64_t rest = sequence;
    for (int i = 0; i < length; ++i, rest /= kNumChanges) {
      const int change = static_cast<int>(rest % kNumChanges);
      text += std::to_string(change) + " ";
      Apply(change, totals, now_ms);
      const Excess expected = model.Look(now_ms, totals);
      const Excess got = policy.Look(TimePoint(milliseconds(now_ms)), totals);
      if (got == expected) continue;
      ADD_FAILURE() << "after " << text << ": " << ToText(got) << " instead of "
                    << ToText(expected);
      return 0;
    }
  }
  return num_sequences;
}

// However often it is looked at.
TEST(FloodPolicy, ExactlyAsManyCancelledCallsASecondAreFineForEver) {
  for (const int64_t interval_us : {1'000, 1'999, 5'000, 5'001, 25'000}) {
    FloodPolicy policy;
    FloodPolicy::Totals totals;
    const TimePoint start{std::chrono::hours(1)};
    for (int64_t us = 0; us < 60'000'000; us += interval_us) {
      totals.begun = totals.cancelled =
          us * FloodPolicy::kCancelledPerSecond / 1'000'000;
      const TimePoint now = start + std::chrono::microseconds(us);
      ASSERT_EQ(policy.Look(now, totals), FloodPolicy::Excess::kNone) << us;
    }
    // And no more than that: the bucket is as good as empty.
    const TimePoint end = start + std::chrono::seconds(60);
    totals.cancelled += FloodPolicy::kMostCancelled - 100;
    EXPECT_EQ(policy.Look(end, totals), FloodPolicy::Excess::kNone);
    totals.cancelled += 200;
    EXPECT_EQ(policy.Look(end, totals), FloodPolicy::Excess::kCancelled);
  }
}

TEST(FloodPolicy, HoldsUnderEveryShortSequenceOfChanges) {
  EXPECT_EQ(Explore(5, {}), 371'293);
}

// What `policy` says to `totals` at once.
Excess AtOnce(const Totals& totals) {
  return FloodPolicy().Look(TimePoint(milliseconds(1)), totals);
}

// However many end at once; but not one after another, for then they have no
// bound of descriptors.
TEST(FloodPolicy, AsManyAsWereCarriedAtATimeMayHaveEnded) {
  Totals totals;
  totals.in_flight = totals.ended = totals.most_of_connections = 5'000;
  EXPECT_EQ(AtOnce(totals), Excess::kNone);
  totals.in_flight += 1'000;
  EXPECT_EQ(AtOnce(totals), Excess::kNone);
  ++totals.in_flight;
  EXPECT_EQ(AtOnce(totals), Excess::kCalls);

  Totals one_by_one;
  one_by_one.most_of_connections = 1;
  one_by_one.in_flight = one_by_one.ended = 1'001;
  EXPECT_EQ(AtOnce(one_by_one), Excess::kNone);
  ++one_by_one.in_flight;
  ++one_by_one.ended;
  EXPECT_EQ(AtOnce(one_by_one), Excess::kCalls);
}

// After an upgrade of the daemon a client may come back for all connections of
// the former process at once; those that have come are not awaited any more.
TEST(FloodPolicy, AsManyAsMayComeBackMayBeAskedFor) {
  Totals totals;
  totals.expected = 500;
  totals.in_flight = FloodPolicy::kMostCalls + 500;
  EXPECT_EQ(AtOnce(totals), Excess::kNone);
  ++totals.in_flight;
  EXPECT_EQ(AtOnce(totals), Excess::kCalls);
  --totals.in_flight;
  // In the midst of it.
  totals.expected = 200;
  totals.carrying = 180;
  totals.unjoined = 120;
  EXPECT_EQ(AtOnce(totals), Excess::kNone);
  ++totals.in_flight;
  EXPECT_EQ(AtOnce(totals), Excess::kCalls);
}

// Or each would count twice.
TEST(FloodPolicy, AnsweredCallsOfConnectionsAreNoneOfTheFreeOnes) {
  Totals totals;
  totals.in_flight = 1'500;
  totals.ended = totals.most_of_connections = totals.answered = 500;
  EXPECT_EQ(AtOnce(totals), Excess::kNone);
  ++totals.in_flight;
  EXPECT_EQ(AtOnce(totals), Excess::kCalls);
  ++totals.answered;
  EXPECT_EQ(AtOnce(totals), Excess::kNone);
}

// Its client could not know yet that they have ended.
TEST(FloodPolicy, StreamsThatHaveEndedExplainWhatTheyHeldAndWhatStillComes) {
  const auto at = [](int64_t ms) { return TimePoint(milliseconds(ms)); };
  FloodPolicy policy;
  Totals totals;
  totals.in_flight = totals.carrying = 100;
  totals.received_bytes = 40 << 20;
  EXPECT_EQ(policy.Look(at(0), totals), Excess::kNone);
  totals.in_flight = totals.carrying = 0;
  EXPECT_EQ(policy.Look(at(25), totals), Excess::kNone);
  totals.received_bytes += 8 << 20;
  EXPECT_EQ(policy.Look(at(50), totals), Excess::kNone);
  EXPECT_EQ(policy.unexplained_bytes(), 0);
  EXPECT_EQ(policy.Look(at(10'000), totals), Excess::kNone);
  EXPECT_EQ(policy.unexplained_bytes(), 0);
  totals.received_bytes += (1 << 20) + 1;
  EXPECT_EQ(policy.Look(at(10'025), totals), Excess::kBytes);
}

TEST(FloodPolicy, CountsOfSegmentsMayWrap) {
  Totals from;
  from.received_segments = std::numeric_limits<uint32_t>::max() - 12'000;
  EXPECT_EQ(Explore(3, from), 2'197);

  FloodPolicy policy;
  EXPECT_EQ(policy.Look(TimePoint(), {}), Excess::kNone);
  Totals totals;
  for (int i = 0; i < 3; ++i) {
    // 2^31 in ten calls' messages, each of which explains two.
    totals.messages += int64_t{1} << 30;
    totals.received_segments += uint32_t{1} << 31;
    EXPECT_EQ(policy.Look(TimePoint(), totals), Excess::kNone) << i;
  }
}

TEST(FloodPolicy, EachLimitIsTheMostThatIsFine) {
  Totals calls;
  calls.in_flight = 1000;
  EXPECT_EQ(AtOnce(calls), Excess::kNone);
  ++calls.in_flight;
  EXPECT_EQ(AtOnce(calls), Excess::kCalls);
  ++calls.carrying;
  EXPECT_EQ(AtOnce(calls), Excess::kNone);
  ++calls.in_flight;
  EXPECT_EQ(AtOnce(calls), Excess::kCalls);
  ++calls.unjoined;
  EXPECT_EQ(AtOnce(calls), Excess::kNone);
  calls.in_flight += 500;
  calls.answered = 500;  // One may be the one that is to carry something.
  EXPECT_EQ(AtOnce(calls), Excess::kCalls);
  ++calls.answered;
  EXPECT_EQ(AtOnce(calls), Excess::kNone);
  ++calls.in_flight;
  ++calls.answered;
  EXPECT_EQ(AtOnce(calls), Excess::kCalls);

  Totals cancelled;
  cancelled.cancelled = 2000;
  EXPECT_EQ(AtOnce(cancelled), Excess::kNone);
  ++cancelled.cancelled;
  EXPECT_EQ(AtOnce(cancelled), Excess::kCancelled);

  Totals bytes;
  bytes.received_bytes = 1 << 20;
  EXPECT_EQ(AtOnce(bytes), Excess::kNone);
  ++bytes.received_bytes;
  EXPECT_EQ(AtOnce(bytes), Excess::kBytes);

  Totals segments;
  segments.received_segments = 20'000;
  EXPECT_EQ(AtOnce(segments), Excess::kNone);
  ++segments.received_segments;
  EXPECT_EQ(AtOnce(segments), Excess::kSegments);
}

TEST(FloodPolicy, WhatExplainsBytesAndSegmentsCounts) {
  Totals call;
  call.received_bytes = (1 << 20) + (16 << 10);
  EXPECT_EQ(AtOnce(call), Excess::kBytes);
  call.begun = 1;
  EXPECT_EQ(AtOnce(call), Excess::kNone);
  call.received_segments = 20'016;
  EXPECT_EQ(AtOnce(call), Excess::kNone);
  ++call.received_segments;
  EXPECT_EQ(AtOnce(call), Excess::kSegments);

  Totals message;
  message.messages = 1;
  message.message_bytes = 8 << 20;
  message.received_bytes = (1 << 20) + (9 << 20) + 48;
  message.received_segments = 20'000 + 2 + (16 << 10);
  EXPECT_EQ(AtOnce(message), Excess::kNone);
  ++message.received_bytes;
  EXPECT_EQ(AtOnce(message), Excess::kBytes);
  --message.received_bytes;
  ++message.received_segments;
  EXPECT_EQ(AtOnce(message), Excess::kSegments);

  Totals sent;
  sent.sent = 1;
  sent.received_bytes = (1 << 20) + 64;
  sent.received_segments = 20'002;
  EXPECT_EQ(AtOnce(sent), Excess::kNone);
  ++sent.received_bytes;
  EXPECT_EQ(AtOnce(sent), Excess::kBytes);
  --sent.received_bytes;
  ++sent.received_segments;
  EXPECT_EQ(AtOnce(sent), Excess::kSegments);

  Totals carrying;
  carrying.carrying = carrying.in_flight = 2;
  carrying.received_bytes = 2 << 20;
  carrying.received_segments = 20'000 + 2048;
  EXPECT_EQ(AtOnce(carrying), Excess::kNone);
  ++carrying.received_bytes;
  EXPECT_EQ(AtOnce(carrying), Excess::kBytes);
}

// Each in a frame and a record of TLS of its own, answered by as many.
TEST(FloodPolicy, SmallMessagesAreFineForEver) {
  for (const int64_t size : {1, 18, 66, 400}) {
    FloodPolicy policy;
    Totals totals;
    totals.in_flight = totals.carrying = 1;
    for (int i = 0; i < 10'000; ++i) {
      totals.messages += 200;
      totals.sent += 200;
      totals.message_bytes += 200 * size;
      totals.received_bytes += 200 * (size + 9 + 5 + 22);
      totals.received_segments += 2 * 200;
      ASSERT_EQ(policy.Look(TimePoint(milliseconds(5 * i)), totals),
                Excess::kNone)
          << size << " " << i;
    }
  }
}

TEST(FloodPolicy, AsMuchAsLeaksIsFineForEver) {
  FloodPolicy policy;
  Totals totals;
  int64_t now_ms = 0;
  const auto second = [&](int64_t more) {
    now_ms += 1000;
    totals.cancelled += 500 + more;
    totals.received_bytes += (256 << 10) + more;
    totals.received_segments += 5'000;
    return policy.Look(TimePoint(milliseconds(now_ms)), totals);
  };
  EXPECT_EQ(policy.Look(TimePoint(), totals), Excess::kNone);
  for (int i = 0; i < 100'000; ++i) ASSERT_EQ(second(0), Excess::kNone) << i;
  // And what is more adds up.
  int seconds = 0;
  while (second(1) == Excess::kNone) ASSERT_LT(++seconds, 2'000);
  EXPECT_EQ(seconds, 2'000 - 500);
}

TEST(FloodPolicy, EachExcessHasAText) {
  for (const Excess excess : {Excess::kNone, Excess::kCalls, Excess::kCancelled,
                              Excess::kBytes, Excess::kSegments}) {
    EXPECT_STRNE(ToText(excess), "");
  }
}

}  // namespace
}  // namespace portreeve::server
