#include "server/events/saved_totals.h"

#include <cstddef>
#include <cstdint>
#include <limits>

namespace portreeve::server {
namespace {

using internal::v1::ConnectionTotals;
using internal::v1::SizeTotals;

template <typename Sizes>
SizeTotals ToTotals(const Sizes& sizes) {
  SizeTotals totals;
  for (size_t i = 0; i + 1 < Sizes::kNumBuckets; ++i) {
    totals.add_bounds(Sizes::LargestOf(i));
  }
  totals.mutable_counts()->Add(sizes.counts().begin(), sizes.counts().end());
  totals.set_sum(absl::Uint128Low64(sizes.exact_sum()));
  totals.set_sum_high(absl::Uint128High64(sizes.exact_sum()));
  return totals;
}

template <typename Sizes>
void Restore(const SizeTotals& totals, Sizes& sizes) {
  for (int i = 0; i < totals.counts_size(); ++i) {
    const int64_t largest = i < totals.bounds_size()
                                ? totals.bounds(i)
                                : std::numeric_limits<int64_t>::max();
    sizes.AddCounted(largest, totals.counts(i));
  }
  sizes.AddToSum(absl::MakeUint128(totals.sum_high(), totals.sum()));
}

}  // namespace

ConnectionTotals ToTotals(const ConnectionHistograms& histograms) {
  ConnectionTotals totals;
  *totals.mutable_duration() = ToTotals(histograms.duration);
  *totals.mutable_connect() = ToTotals(histograms.connect);
  *totals.mutable_received() = ToTotals(histograms.received);
  *totals.mutable_sent() = ToTotals(histograms.sent);
  return totals;
}

ConnectionHistograms FromTotals(const ConnectionTotals& totals) {
  ConnectionHistograms histograms;
  Restore(totals.duration(), histograms.duration);
  Restore(totals.connect(), histograms.connect);
  Restore(totals.received(), histograms.received);
  Restore(totals.sent(), histograms.sent);
  return histograms;
}

}  // namespace portreeve::server
