// describe.
#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "client/cli/describe_text.h"
#include "client/cli/newest_events.h"
#include "client/cli/option.h"
#include "client/cli/verb.h"
#include "client/name.h"

namespace portreeve::cli {
namespace {

constexpr char kDescribeHelp[] =
    "Says in words what may be wrong with a listener (it is not open, at its\n"
    "limit, served by nobody; the kernel cut its backlog; its upstream "
    "refuses),\n"
    "what it does and is told to do, `(default)` where that is what it would "
    "do\n"
    "anyway, and the newest 20 events about it and its connections. -o json "
    "is\n"
    "the same as that of get.\n"
    "  $ portreeve describe web";

absl::StatusOr<ExitStatus> Run(const std::string& name, Session& session) {
  const absl::StatusOr<v1::Listener> listener =
      session.client.GetListener(name, session.Ordinary());
  if (!listener.ok()) return listener.status();
  const absl::StatusOr<std::vector<v1::Event>> events =
      NewestEvents(name, session);
  if (!events.ok()) return events.status();
  const absl::Status printed = session.Print(
      *listener, DescribeListener(*listener, *events, absl::Now()));
  if (!printed.ok()) return printed;
  return ExitStatus::kDone;
}

}  // namespace

Verb AddDescribe(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("describe", kDescribeHelp);
  auto name = std::make_shared<std::string>();
  AddOption(*verb, "LISTENER", "", "ID or listeners/ID. Required",
            [name](const std::string& text) {
              return Into(*name, client::ListenerName)(text);
            })
      ->required();
  return {verb, [name](Session& session) { return Run(*name, session); }};
}

}  // namespace portreeve::cli
