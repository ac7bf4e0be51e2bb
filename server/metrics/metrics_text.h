// The text of /metrics.
#ifndef PORTREEVE_SERVER_METRICS_METRICS_TEXT_H_
#define PORTREEVE_SERVER_METRICS_METRICS_TEXT_H_

#include <string>

#include "server/metrics/metrics_snapshot.h"

namespace portreeve::server {

// Gives what Prometheus reads: text/plain; version=0.0.4, in UTF-8.
// docs/MONITORING.md says what each metric means.
// Threads: any.
std::string MetricsText(const MetricsSnapshot& snapshot);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_METRICS_METRICS_TEXT_H_
