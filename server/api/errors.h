// The errors that the daemon adds to the library's vocabulary
// (lib/base/status.h).
#ifndef PORTREEVE_SERVER_API_ERRORS_H_
#define PORTREEVE_SERVER_API_ERRORS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace portreeve::server {

// Makes an error whose reason, one of those in the protos ("LISTENER_CLOSED"),
// the library does not know.
absl::Status ServerError(absl::StatusCode code, absl::string_view reason,
                         absl::string_view message);

// Makes NOT_FOUND / NOT_FOUND about the resource `name`.
absl::Status NotFound(absl::string_view name);

// Makes FAILED_PRECONDITION / LISTENER_CLOSED about the listener `name`.
absl::Status ListenerClosed(absl::string_view name);

// Makes FAILED_PRECONDITION / NOT_REMOTE with the message "NAME WHAT".
absl::Status NotRemote(absl::string_view name, absl::string_view what);

// Makes UNAVAILABLE / SHUTTING_DOWN.
absl::Status ShuttingDown();

// Makes PERMISSION_DENIED / OUTSIDE_POLICY; `what` says what is forbidden, and
// by which part of the policy.  `field` is a path such as "inet.port", or
// empty; `address` is as the CLI writes it.
absl::Status OutsidePolicy(absl::string_view field, absl::string_view address,
                           absl::string_view what);

// Makes FAILED_PRECONDITION / SELF_CONNECT; `what` says how the daemon would
// reach itself.  `field` and `address` are as those of OutsidePolicy().
absl::Status SelfConnect(absl::string_view field, absl::string_view address,
                         absl::string_view what);

// Makes PERMISSION_DENIED / ROLE_REQUIRED.
absl::Status RoleRequired(absl::string_view message);

// Makes DATA_LOSS / HANDOVER_DAMAGED: what a process of the daemon has left to
// the next one is not what any leaves.  No client is given it.
absl::Status HandoverDamaged(absl::string_view message);

// Makes UNAVAILABLE / MOVED: nothing was done, and the same call reaches the
// process that has taken over.
absl::Status Moved();

// Makes FAILED_PRECONDITION / UPGRADE_IN_PROGRESS.
absl::Status UpgradeInProgress();
// Makes ABORTED / UPGRADE_FAILED: the daemon goes on as it was, since `step` of
// the hand-over, as StepName() has it, has failed, and `reason` says why.
absl::Status UpgradeFailed(absl::string_view step, absl::string_view reason);
// Gives the step of such an error; "" for any other one.
std::string UpgradeStepOf(const absl::Status& status);

// Gives the reason for programs, one of this file's or of the library's; the
// name of the code where there is none, and "" for an OK status.
std::string ReasonOf(const absl::Status& status);

// Makes INVALID_FIELD about a whole message; WithFieldPrefix() says which
// message.
absl::Status InvalidMessage(absl::string_view message);

// Gives `status` with `prefix` before the field that it is about, which makes
// the path from the request's root.  An INVALID_ARGUMENT without a field is
// about `prefix` itself; other errors are unchanged.
absl::Status WithFieldPrefix(const absl::Status& status,
                             absl::string_view prefix);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_ERRORS_H_
