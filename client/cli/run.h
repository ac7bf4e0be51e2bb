// Run: the whole CLI, but for its process.
#ifndef PORTREEVE_CLIENT_CLI_RUN_H_
#define PORTREEVE_CLIENT_CLI_RUN_H_

#include <functional>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "client/cli/environment.h"
#include "client/cli/exit_status.h"

namespace CLI {
class App;
}  // namespace CLI

namespace portreeve::cli {

// Does what `arguments`, without the program's name, say.  `out` gets answers
// and help and nothing else; `err` gets one line for an error.
ExitStatus Run(const std::vector<std::string>& arguments,
               const Environment& environment, std::ostream& out,
               std::ostream& err);

// The values of a type of --help that does not spell them out, such as KIND.
using TypeValues = std::map<std::string, std::vector<std::string>>;

// Calls `take` with the command line that Run() parses, for what is made of it.
void WithCommandLine(
    const std::function<void(const CLI::App&, const TypeValues&)>& take);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_RUN_H_
