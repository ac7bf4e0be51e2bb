// UpstreamLog: a listener's lines of log about its upstream.
#ifndef PORTREEVE_SERVER_REGISTRY_UPSTREAM_LOG_H_
#define PORTREEVE_SERVER_REGISTRY_UPSTREAM_LOG_H_

#include "absl/strings/string_view.h"
#include "lib/base/time_source.h"
#include "lib/net/address.h"
#include "server/api/connection_failure.h"
#include "server/api/convert.h"
#include "server/events/event_ring.h"
#include "server/registry/failure_reports.h"

namespace portreeve::server {

// Each line names the listener, the upstream and the cause; FailureReports says
// which are told.
// Threads: loop thread only.  Lifetime: `time` must outlive it.
class UpstreamLog {
 public:
  // `listener` is "listeners/ID".
  UpstreamLog(const TimeSource& time, SharedName listener);

  // A connection was not led to `upstream`.
  void OnUnreached(const AnyWhereToConnect& upstream,
                   const ConnectionFailure& failure);
  // `upstream` has reset a connection before it sent anything, as who does not
  // serve this client does.
  void OnResetAtOnce(const AnyAddress& upstream);

 private:
  void Tell(absl::string_view upstream, absl::string_view reason,
            absl::string_view message);

  const TimeSource& time_;
  const SharedName listener_;
  FailureReports reports_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_UPSTREAM_LOG_H_
