#include "client/cli/terminal.h"

#include <unistd.h>

#include <ostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/close_reason.h"
#include "client/cli/copy.h"
#include "client/cli/format.h"
#include "client/cli/printable.h"

namespace portreeve::cli {

absl::StatusOr<ExitStatus> ServeOnTerminal(const std::string& verb,
                                           Session& session,
                                           client::Stream& stream) {
  const std::string prefix = absl::StrCat("portreeve: ", verb, ": ");
  const v1::Connection& connection = stream.connection();
  session.err << absl::StrCat(prefix, "connected to ",
                              Printable(AddressText(connection.peer())), " (",
                              Printable(connection.name()), ")\n")
              << std::flush;
  const auto peer_ended = [&] {
    if (isatty(session.input) == 0) return;
    session.err << prefix
                << "the other end sends no more; Ctrl-D ends this one\n"
                << std::flush;
  };
  const absl::StatusOr<v1::CloseReason> reason =
      CopyBothWays(stream, session.input, session.output, peer_ended);
  if (!reason.ok()) return reason.status();
  if (ClosedInOrder(*reason)) return ExitStatus::kDone;
  session.err << absl::StrCat(
      prefix, "connection cut: ", CloseReasonText(*reason), "\n");
  return ExitStatus::kCut;
}

}  // namespace portreeve::cli
