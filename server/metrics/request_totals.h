// What was asked of each method, as messages of
// portreeve/internal/v1/totals.proto, and from these.
#ifndef PORTREEVE_SERVER_METRICS_REQUEST_TOTALS_H_
#define PORTREEVE_SERVER_METRICS_REQUEST_TOTALS_H_

#include "portreeve/internal/v1/totals.pb.h"
#include "server/control/request_counts.h"

namespace portreeve::server {

internal::v1::RequestTotals ToTotals(const RequestCounts::Method& method);

// Gives what was counted.  Buckets that are not ours are in the one of ours in
// which their longest times are, and codes that we do not have are UNKNOWN: so
// no count falls.
RequestCounts::Method FromTotals(const internal::v1::RequestTotals& totals);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_METRICS_REQUEST_TOTALS_H_
