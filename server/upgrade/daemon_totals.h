// What is counted of a daemon as a whole, for its next process.
#ifndef PORTREEVE_SERVER_UPGRADE_DAEMON_TOTALS_H_
#define PORTREEVE_SERVER_UPGRADE_DAEMON_TOTALS_H_

#include "portreeve/internal/v1/totals.pb.h"
#include "server/upgrade/upgrade_parts.h"

namespace portreeve::server {

// The loops stand still for both.
internal::v1::DaemonTotals SaveTotals(const UpgradeParts& parts);
// Goes on from there; what `parts` has counted so far is nothing, but for its
// requests.
void RestoreTotals(const internal::v1::DaemonTotals& totals,
                   const UpgradeParts& parts);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_UPGRADE_DAEMON_TOTALS_H_
