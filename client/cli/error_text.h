// What the CLI says of a call that failed.
#ifndef PORTREEVE_CLIENT_CLI_ERROR_TEXT_H_
#define PORTREEVE_CLIENT_CLI_ERROR_TEXT_H_

#include <string>

#include "absl/status/status.h"
#include "client/cli/exit_status.h"

namespace portreeve::cli {

// Gives one line without its end: the reason, what went wrong, and what to do.
// `server` is the address that was called.  A DEADLINE_EXCEEDED with a text of
// its own says what was still awaited.
std::string ErrorText(const absl::Status& status, const std::string& server);

// Does the same for an error of server/state/offline.h.
std::string StateErrorText(const absl::Status& status);

// Gives any status but kDone, kNotClosed, kDiffers, kDamaged,
// kUsage and kUnreadable.
ExitStatus ExitStatusOf(const absl::Status& status);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_ERROR_TEXT_H_
