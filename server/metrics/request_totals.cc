#include "server/metrics/request_totals.h"

#include <cstddef>
#include <limits>

namespace portreeve::server {

internal::v1::RequestTotals ToTotals(const RequestCounts::Method& method) {
  internal::v1::RequestTotals totals;
  totals.set_method(method.name);
  totals.mutable_by_code()->Add(method.by_code.begin(), method.by_code.end());
  totals.mutable_bounds()->Add(RequestCounts::kBounds.begin(),
                               RequestCounts::kBounds.end());
  totals.mutable_counts()->Add(method.buckets.begin(), method.buckets.end());
  totals.set_nanoseconds(method.nanoseconds);
  return totals;
}

RequestCounts::Method FromTotals(const internal::v1::RequestTotals& totals) {
  RequestCounts::Method method;
  method.name = totals.method();
  for (int i = 0; i < totals.by_code_size(); ++i) {
    const auto code = static_cast<size_t>(i);
    const bool is_known = code < RequestCounts::kNumCodes;
    method.by_code[is_known ? code : RequestCounts::kUnknown] +=
        totals.by_code(i);
  }
  for (int i = 0; i < totals.counts_size(); ++i) {
    const double longest = i < totals.bounds_size()
                               ? totals.bounds(i)
                               : std::numeric_limits<double>::infinity();
    method.buckets[RequestCounts::BucketOf(longest)] += totals.counts(i);
  }
  method.nanoseconds = totals.nanoseconds();
  return method;
}

}  // namespace portreeve::server
