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
  const absl::StatusOr<Ending> ending =
      CopyBothWays(stream, session.input, session.output, peer_ended);
  if (!ending.ok()) return ending.status();
  const bool in_order = ClosedInOrder(ending->reason);
  if (in_order && ending->both_ended) return ExitStatus::kDone;
  session.err << absl::StrCat(
      prefix, "connection cut: ", CloseReasonText(ending->reason),
      in_order ? ", before the input had ended" : "", "\n");
  return ExitStatus::kCut;
}

}  // namespace portreeve::cli
