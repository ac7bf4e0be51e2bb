// The histograms of connections as messages of
// portreeve/internal/v1/totals.proto, and from these.
#ifndef PORTREEVE_SERVER_EVENTS_SAVED_TOTALS_H_
#define PORTREEVE_SERVER_EVENTS_SAVED_TOTALS_H_

#include "portreeve/internal/v1/totals.pb.h"
#include "server/events/connection_histograms.h"

namespace portreeve::server {

internal::v1::ConnectionTotals ToTotals(const ConnectionHistograms& histograms);

// Gives what has counted `totals`.  Where that had other buckets, what each of
// them has counted is in the one of ours in which its largest values are: so no
// count falls, and the sums are the same.
ConnectionHistograms FromTotals(const internal::v1::ConnectionTotals& totals);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_EVENTS_SAVED_TOTALS_H_
