#include "client/cli/run.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/error_text.h"
#include "client/cli/global_options.h"
#include "client/cli/help.h"
#include "client/cli/printable.h"
#include "client/cli/session.h"
#include "client/cli/spec_flags.h"
#include "client/cli/value.h"
#include "client/cli/verb.h"
#include "client/client.h"
#include "command_line/unexpected.h"
#include "command_line/version.h"
#include "listener_files/utf8.h"
#include "portreeve/v1/event.pb.h"

namespace portreeve::cli {
namespace {

constexpr char kDescription[] =
    "portreeve commands portreeved, the daemon that owns TCP and Unix-domain\n"
    "listeners and the connections that come through them.\n"
    "`portreeve VERB --help` tells all about a verb.\n";

// "portreeve: " or "portreeve: create: ".
std::string Prefix(const CLI::App& app) {
  const std::vector<CLI::App*> verbs = app.get_subcommands();
  return absl::StrCat("portreeve: ",
                      verbs.empty() ? "" : verbs.back()->get_name() + ": ");
}

ExitStatus UsageError(const CLI::App& app, const std::string& why,
                      std::ostream& err) {
  const std::vector<CLI::App*> verbs = app.get_subcommands();
  err << absl::StrCat(Prefix(app), Printable(why), "; see portreeve ",
                      verbs.empty() ? "" : verbs.back()->get_name() + " ",
                      "--help\n");
  return ExitStatus::kUsage;
}

// Gives the exit status where help, a version or a usage error ends it all.
std::optional<ExitStatus> Parse(CLI::App& app,
                                const std::vector<std::string>& arguments,
                                std::ostream& out, std::ostream& err) {
  if (!std::all_of(arguments.begin(), arguments.end(), IsUtf8)) {
    return UsageError(app, "arguments must be UTF-8", err);
  }
  try {
    // CLI11 takes them from the back.
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& asked) {
    app.exit(asked, out, err);
    out.flush();
    return out ? ExitStatus::kDone : ExitStatus::kFailed;
  } catch (const CLI::ParseError& error) {
    // What is missing, or wrong, may be so for what was misspelt.
    const std::string unexpected = UnexpectedText(app);
    if (!unexpected.empty()) return UsageError(app, unexpected, err);
    const bool is_missing = error.get_name() == "RequiredError";
    if (app.get_subcommands().empty() && is_missing) {
      return UsageError(app, "a verb is required", err);
    }
    return UsageError(app, error.what(), err);
  }
  return std::nullopt;
}

// The command line, and what its parsing sets.
struct Program {
  Program(const Environment& environment,
          const std::optional<std::vector<std::string>>& command)
      : app(kDescription, "portreeve") {
    SetHelp(app);
    app.set_version_flag("--version", absl::StrCat("portreeve ", kVersion),
                         "Print the version and exit");
    // Lets the options below stand after the verb too.
    app.fallthrough();
    AddGlobalOptions(app, environment, options);
    verbs = AddVerbs(app, environment, command);
    app.require_subcommand(1);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  CLI::App app;
  GlobalOptions options;
  std::vector<Verb> verbs;
};

// The arguments, in two.
struct Words {
  std::vector<std::string> own;
  // What follows `--` after `attach`, to be taken as it is.
  std::optional<std::vector<std::string>> command;
};

Words Split(const std::vector<std::string>& arguments) {
  const auto end = arguments.end();
  const auto mark = std::find(arguments.begin(), end, "--");
  if (mark == end || std::find(arguments.begin(), mark, "attach") == mark) {
    return {arguments, std::nullopt};
  }
  return {{arguments.begin(), mark}, std::vector<std::string>(mark + 1, end)};
}

ExitStatus RunVerb(const CLI::App& app, const Verb& verb,
                   const GlobalOptions& options, const Environment& environment,
                   std::ostream& out, std::ostream& err) {
  absl::StatusOr<client::Client> client =
      client::Client::ForAddress(options.server->text, options.tls);
  if (!client.ok()) {
    return UsageError(app, std::string(client.status().message()), err);
  }
  Session session{*client, options,           out,
                  err,     environment.input, environment.output};
  const absl::StatusOr<ExitStatus> result = verb.run(session);
  if (result.ok()) return *result;
  err << absl::StrCat(Prefix(app),
                      ErrorText(result.status(), options.server->text), "\n");
  return ExitStatusOf(result.status());
}

}  // namespace

ExitStatus Run(const std::vector<std::string>& arguments,
               const Environment& environment, std::ostream& out,
               std::ostream& err) {
  const Words words = Split(arguments);
  Program program(environment, words.command);
  auto& [app, options, verbs] = program;
  const std::optional<ExitStatus> ended = Parse(app, words.own, out, err);
  if (ended) return *ended;
  const auto verb = std::find_if(verbs.begin(), verbs.end(),
                                 [](const Verb& v) { return v.app->parsed(); });
  if (options.output == Output::kWide && !verb->has_wide) {
    return UsageError(app, "-o wide: only list has that", err);
  }
  if (verb->run_alone) {
    if (options.output == Output::kJson) {
      return UsageError(app, "its answers are no JSON", err);
    }
    return verb->run_alone(out, err);
  }
  const absl::Status completed = Complete(environment, options);
  if (!completed.ok()) {
    return UsageError(app, std::string(completed.message()), err);
  }
  return RunVerb(app, *verb, options, environment, out, err);
}

void WithCommandLine(
    const std::function<void(const CLI::App&, const TypeValues&)>& take) {
  const Program program(Environment(), std::nullopt);
  take(program.app,
       {{"FIELD", SettingNames()}, {"KIND", EnumTexts<v1::EventKind>()}});
}

std::vector<Verb> AddVerbs(
    CLI::App& app, const Environment& environment,
    const std::optional<std::vector<std::string>>& command) {
  return {AddCreate(app, environment),
          AddList(app),
          AddGet(app),
          AddUpdate(app, environment),
          AddClose(app),
          AddIsClosed(app),
          AddCloseFinished(app),
          AddDelete(app),
          AddConnections(app),
          AddKill(app),
          AddWatch(app),
          AddDescribe(app),
          AddTop(app),
          AddAttach(app, environment, command),
          AddDial(app, environment),
          AddApply(app, environment),
          AddDiff(app, environment),
          AddExport(app),
          AddDaemon(app),
          AddUpgrade(app),
          AddState(app, environment)};
}

}  // namespace portreeve::cli
