// StatsFeed: statistics for as long as there is a daemon, and again when it is
// back.
#ifndef PORTREEVE_CLIENT_CLI_STATS_FEED_H_
#define PORTREEVE_CLIENT_CLI_STATS_FEED_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "client/canceller.h"
#include "client/cli/exit_status.h"
#include "client/cli/resume.h"
#include "client/cli/session.h"
#include "client/stats_watch.h"
#include "portreeve/v1/stats.pb.h"

namespace portreeve::cli {

// Threads: one runs it; Stop(): any.
class StatsFeed {
 public:
  // Who is told; on the thread that runs it.
  struct Callbacks {
    // A stream begins, with all listeners.
    std::function<void()> on_start;
    // Gives false where that was the last that is wanted, and an error where
    // the verb ends with it.
    std::function<absl::StatusOr<bool>(const v1::WatchStatsResponse&)>
        on_message;
    // It was lost, and is tried again.
    std::function<void(const absl::Status&)> on_lost;
  };

  // `session` and `resume` must outlive it.
  StatsFeed(Session& session, Resume& resume,
            const v1::WatchStatsRequest& request)
      : session_(session), resume_(resume), request_(request) {}
  StatsFeed(const StatsFeed&) = delete;
  StatsFeed& operator=(const StatsFeed&) = delete;

  // Runs until enough has come, Stop(), or --timeout.  Errors: the first try
  // has failed, or what is no loss of the daemon, or is one for good.
  absl::StatusOr<ExitStatus> Run(const Callbacks& callbacks);

  // Ends Run(), also one to come.  Idempotent.
  void Stop();

 private:
  // Reads until the end of a stream.
  absl::StatusOr<bool> ReadAll(client::StatsWatch& watch,
                               const Callbacks& callbacks);

  Session& session_;
  Resume& resume_;
  const v1::WatchStatsRequest request_;
  client::Canceller canceller_;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_STATS_FEED_H_
