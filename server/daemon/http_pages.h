// The pages of the HTTP port, and who may see them.
#ifndef PORTREEVE_SERVER_DAEMON_HTTP_PAGES_H_
#define PORTREEVE_SERVER_DAEMON_HTTP_PAGES_H_

#include <google/protobuf/timestamp.pb.h>

#include <atomic>
#include <optional>

#include "lib/base/executor.h"
#include "lib/base/loop.h"
#include "server/access/client_role.h"
#include "server/access/live_policy.h"
#include "server/http/http_message.h"
#include "server/live/live_pages.h"
#include "server/metrics/metrics_source.h"

namespace portreeve::server {

// Whether the daemon takes work: what /readyz tells, and, once it has started,
// grpc.health.v1, too.
enum class Readiness { kStarting, kReady, kShuttingDown };

// What the pages are made of.  All of it must outlive them.
struct HttpPageSources {
  Loop& loop;
  LivePolicy policy;
  Certificates certificates;
  const std::atomic<Readiness>& readiness;
  MetricsSource* metrics = nullptr;             // Null: there is no page of it.
  std::optional<LiveSources> live = {};         // None: likewise.
  google::protobuf::Timestamp start_time = {};  // Of the daemon.
};

// Makes the pages for a server on `executor`, which is not the loop's.
HttpPages MakeHttpPages(const HttpPageSources& sources,
                        const Executor& executor);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_HTTP_PAGES_H_
