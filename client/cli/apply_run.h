// Brings the listeners of a daemon to what a file says, or tells what that
// would change.
#ifndef PORTREEVE_CLIENT_CLI_APPLY_RUN_H_
#define PORTREEVE_CLIENT_CLI_APPLY_RUN_H_

#include "absl/status/statusor.h"
#include "client/cli/apply_plan.h"
#include "client/cli/exit_status.h"
#include "client/cli/listener_source.h"
#include "client/cli/session.h"

namespace portreeve::cli {

struct ApplyOptions {
  enum class Mode { kApply, kDryRun, kDiff };

  Mode mode = Mode::kApply;
  ListenerSource source;
  Selector selector;
};

// Asks the daemon first what it would make of every listener of the file. Where
// it refuses one, or the file is wrong, nothing changes; all that is wrong is
// told on stderr.  Then each step is taken; one that fails holds up no other.
//
// Errors: those of the calls that are about no one listener.
absl::StatusOr<ExitStatus> RunApply(const ApplyOptions& options,
                                    Session& session);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_APPLY_RUN_H_
