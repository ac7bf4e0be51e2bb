// ListenerLog: a listener's lines of log.
#ifndef PORTREEVE_SERVER_REGISTRY_LISTENER_LOG_H_
#define PORTREEVE_SERVER_REGISTRY_LISTENER_LOG_H_

#include <cstdint>
#include <exception>

#include "absl/strings/string_view.h"
#include "lib/base/time_source.h"
#include "lib/net/address.h"
#include "server/api/connection_failure.h"
#include "server/api/convert.h"
#include "server/events/event_ring.h"
#include "server/registry/failure_reports.h"

namespace portreeve::server {

// Each line has the listener's name, and where it is about one connection, that
// one's, too.  FailureReports says which of those are told that clients can
// cause as often as they like; such a line has the connection that was the
// last.
// Threads: loop thread only.
// Lifetime: `time` must outlive it.
class ListenerLog {
 public:
  // `listener` is "listeners/ID".
  ListenerLog(const TimeSource& time, SharedName listener);

  // A connection was not led to `upstream`.
  void OnUnreached(int64_t connection, const AnyWhereToConnect& upstream,
                   const ConnectionFailure& failure);
  // `upstream` has reset a connection before it sent anything, as one does that
  // does not serve this client.
  void OnResetAtOnce(int64_t connection, const AnyAddress& upstream);
  // A connection's handler raised, and the listener goes on.
  void OnHandlerError(int64_t connection, std::exception_ptr error);
  // A connection's handler raised, and the listener closes for it.
  void OnRaised(int64_t connection, std::exception_ptr error);
  void OnLimitReached(int limit);
  // accept(2) has failed `count` times.
  void OnAcceptFailed(const AnyAddress& listening_on, int error_number,
                      int64_t count);
  // `error` has come to the listener's monitor.  One that OnRaised() has told
  // is not told again.
  void OnError(std::exception_ptr error);

 private:
  // Warns if that is told now; `reason` lives for ever.
  void Tell(absl::string_view reason, int64_t connection,
            absl::string_view message);

  const TimeSource& time_;
  const SharedName listener_;
  FailureReports reports_;
  std::exception_ptr raised_;  // What OnRaised() has told.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_LISTENER_LOG_H_
