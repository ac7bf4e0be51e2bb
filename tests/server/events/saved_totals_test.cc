// What a daemon has counted of connections, in its next process.
#include "server/events/saved_totals.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "lib/base/status.h"
#include "portreeve/v1/connection.pb.h"
#include "server/events/close_counts.h"

namespace portreeve::server {
namespace {

// Counts each reason another number of times.
CloseCounts ManyCloses() {
  CloseCounts counts;
  for (int i = 0; i < v1::CloseReason_ARRAYSIZE; ++i) {
    if (!v1::CloseReason_IsValid(i)) continue;
    for (int j = 0; j < i % 7; ++j) {
      counts.Count(static_cast<v1::CloseReason>(i));
    }
  }
  // Nothing fails for kNone.
  for (int i = 1; i <= static_cast<int>(Reason::kOther); ++i) {
    for (int j = 0; j < i; ++j) counts.CountFailure(static_cast<Reason>(i));
  }
  return counts;
}

void ExpectAlike(const CloseCounts& a, const CloseCounts& b) {
  EXPECT_EQ(a.total(), b.total());
  for (int i = 0; i < v1::CloseReason_ARRAYSIZE; ++i) {
    const auto reason = static_cast<v1::CloseReason>(i);
    EXPECT_EQ(a.count(reason), b.count(reason)) << i;
  }
  for (int i = 0; i <= static_cast<int>(Reason::kOther); ++i) {
    const auto reason = static_cast<Reason>(i);
    EXPECT_EQ(a.failures(reason), b.failures(reason)) << i;
  }
}

TEST(SavedClosesTest, WhatIsSavedIsWhatIsRestored) {
  const CloseCounts counts = ManyCloses();
  CloseCounts restored;
  restored.Count(v1::CLOSE_REASON_FORCED);  // It does not stay.
  restored.Restore(counts.Save());
  ExpectAlike(restored, counts);
  restored.Restore(CloseCounts().Save());
  ExpectAlike(restored, CloseCounts());
}

// Each reason goes on from what it was, also where two have one name.
TEST(SavedClosesTest, CountingGoesOn) {
  CloseCounts counts = ManyCloses();
  CloseCounts restored;
  restored.Restore(counts.Save());
  for (int i = 1; i <= static_cast<int>(Reason::kOther); ++i) {
    counts.CountFailure(static_cast<Reason>(i));
    restored.CountFailure(static_cast<Reason>(i));
  }
  ExpectAlike(restored, counts);
  CloseCounts again;
  again.Restore(restored.Save());
  ExpectAlike(again, counts);
  EXPECT_EQ(restored.Save().at("UPSTREAM_UNREACHABLE/INTERNAL"),
            static_cast<int>(Reason::kOther) + 1);
}

TEST(SavedClosesTest, UnknownReasonsAreLeftOut) {
  auto counts = ManyCloses().Save();
  counts["NEW_REASON"] = 5;
  counts["UPSTREAM_UNREACHABLE/NEW_REASON"] = 5;
  CloseCounts restored;
  restored.Restore(counts);
  ExpectAlike(restored, ManyCloses());
}

ConnectionHistograms Many() {
  ConnectionHistograms histograms;
  for (int i = 0; i < 62; ++i) {
    for (int j = 0; j <= i % 5; ++j) {
      histograms.CountEnd((int64_t{1} << i) + i, int64_t{1} << i, i);
      if (i % 3 == 0) histograms.connect.Count((int64_t{1} << i) - 1);
    }
  }
  return histograms;
}

template <typename Sizes>
void ExpectAlike(const Sizes& a, const Sizes& b) {
  EXPECT_EQ(a.counts(), b.counts());
  EXPECT_EQ(a.sum(), b.sum());
}
void ExpectAlike(const ConnectionHistograms& a, const ConnectionHistograms& b) {
  ExpectAlike(a.duration, b.duration);
  ExpectAlike(a.received, b.received);
  ExpectAlike(a.sent, b.sent);
  ExpectAlike(a.connect, b.connect);
}

TEST(SavedHistogramsTest, WhatIsSavedIsWhatIsRestored) {
  const ConnectionHistograms many = Many();
  std::string bytes;
  ASSERT_TRUE(ToTotals(many).SerializeToString(&bytes));
  internal::v1::ConnectionTotals totals;
  ASSERT_TRUE(totals.ParseFromString(bytes));
  ConnectionHistograms restored = FromTotals(totals);
  ExpectAlike(restored, many);
  ExpectAlike(FromTotals({}), ConnectionHistograms());
  // And counting goes on.
  ConnectionHistograms sum = many;
  sum.CountEnd(5, 6, 7);
  restored.CountEnd(5, 6, 7);
  ExpectAlike(restored, sum);
}

// As an older or a newer version may have them.
TEST(SavedHistogramsTest, WithOtherBucketsNoCountFalls) {
  internal::v1::ConnectionTotals totals;
  auto& received = *totals.mutable_received();
  for (const int64_t bound : {10, 64, 65, 5'000}) received.add_bounds(bound);
  for (const int64_t count : {1, 2, 4, 8, 16}) received.add_counts(count);
  received.set_sum(7);
  received.set_sum_high(5);
  const ConnectionHistograms restored = FromTotals(totals);
  EXPECT_EQ(restored.received.counts()[0], 3);
  EXPECT_EQ(restored.received.counts()[1], 4);
  EXPECT_EQ(restored.received.counts()[2], 8);
  EXPECT_EQ(
      restored.received.counts()[ConnectionHistograms::Bytes::kNumBuckets - 1],
      16);
  EXPECT_EQ(restored.received.total(), 31);
  EXPECT_EQ(restored.received.exact_sum(), absl::MakeUint128(5, 7));
}

}  // namespace
}  // namespace portreeve::server
