// BeginMetrics: what Prometheus reads, made of the parts of the daemon.
#ifndef PORTREEVE_SERVER_DAEMON_DAEMON_METRICS_H_
#define PORTREEVE_SERVER_DAEMON_DAEMON_METRICS_H_

#include "lib/base/loop.h"
#include "server/daemon/daemon_parts.h"
#include "server/daemon/flags.h"
#include "server/daemon/log_writer.h"

namespace portreeve::server {

// Makes DaemonParts::metrics and ::requests, which nothing needs but /metrics.
// It must be called before the control plane and the HTTP port start.
// `log` must outlive the parts.
// Threads: the loop's.
void BeginMetrics(Loop& loop, const Flags& flags, const LogWriter& log,
                  DaemonParts& parts);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_DAEMON_METRICS_H_
