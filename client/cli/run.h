// Run: the whole CLI, but for its process.
#ifndef PORTREEVE_CLIENT_CLI_RUN_H_
#define PORTREEVE_CLIENT_CLI_RUN_H_

#include <ostream>
#include <string>
#include <vector>

#include "client/cli/environment.h"
#include "client/cli/exit_status.h"

namespace portreeve::cli {

// Does what `arguments`, without the program's name, say.  `out` gets answers
// and help and nothing else; `err` gets one line for an error.
ExitStatus Run(const std::vector<std::string>& arguments,
               const Environment& environment, std::ostream& out,
               std::ostream& err);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_RUN_H_
