// The verbs of the CLI, one function to add each.
#ifndef PORTREEVE_CLIENT_CLI_VERB_H_
#define PORTREEVE_CLIENT_CLI_VERB_H_

#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/environment.h"
#include "client/cli/exit_status.h"
#include "client/cli/session.h"

namespace CLI {
class App;
}  // namespace CLI

namespace portreeve::cli {

struct Verb {
  // The App that it was added to owns it.
  CLI::App* app;
  // Does what the verb says, with the flags that were parsed.  It is called
  // once at most.
  std::function<absl::StatusOr<ExitStatus>(Session&)> run;
  // Takes the place of `run` where no daemon is asked: what the flags and the
  // environment say of one is not looked at.
  std::function<ExitStatus(std::ostream& out, std::ostream& err)> run_alone =
      nullptr;
  // Whether it takes -o wide.
  bool has_wide = false;
};

Verb AddCreate(CLI::App& app, const Environment& environment);
Verb AddUpdate(CLI::App& app, const Environment& environment);
Verb AddGet(CLI::App& app);
Verb AddList(CLI::App& app);
Verb AddDaemon(CLI::App& app);
Verb AddUpgrade(CLI::App& app);
Verb AddIsClosed(CLI::App& app);
Verb AddClose(CLI::App& app);
Verb AddCloseFinished(CLI::App& app);
Verb AddDelete(CLI::App& app);
Verb AddConnections(CLI::App& app);
Verb AddKill(CLI::App& app);
Verb AddWatch(CLI::App& app);
Verb AddDescribe(CLI::App& app);
Verb AddTop(CLI::App& app);
// `command` is the program, with its arguments, that shall serve the
// connection; unset: the terminal does.
Verb AddAttach(CLI::App& app, const Environment& environment,
               const std::optional<std::vector<std::string>>& command);
Verb AddDial(CLI::App& app, const Environment& environment);
Verb AddApply(CLI::App& app, const Environment& environment);
Verb AddDiff(CLI::App& app, const Environment& environment);
Verb AddExport(CLI::App& app);
Verb AddState(CLI::App& app, const Environment& environment);

// Adds all of them, in the order of --help.
std::vector<Verb> AddVerbs(
    CLI::App& app, const Environment& environment,
    const std::optional<std::vector<std::string>>& command);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_VERB_H_
