// Serves a connection with stdin and stdout.
#ifndef PORTREEVE_CLIENT_CLI_TERMINAL_H_
#define PORTREEVE_CLIENT_CLI_TERMINAL_H_

#include <string>

#include "absl/status/statusor.h"
#include "client/cli/exit_status.h"
#include "client/cli/session.h"
#include "client/stream.h"

namespace portreeve::cli {

// Copies the session's input and output until the connection is closed.  Gives
// kDone where that was in order, else kCut, with the reason on stderr.  `verb`
// is for what it writes there.
//
// Errors: those of CopyBothWays.
absl::StatusOr<ExitStatus> ServeOnTerminal(const std::string& verb,
                                           Session& session,
                                           client::Stream& stream);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_TERMINAL_H_
