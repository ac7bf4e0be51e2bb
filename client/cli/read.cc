// get, daemon and is-closed.
#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/any_name.h"
#include "client/cli/format.h"
#include "client/cli/option.h"
#include "client/cli/verb.h"
#include "client/name.h"

namespace portreeve::cli {
namespace {

constexpr char kIsClosedHelp[] =
    "Whether closing a listener has begun. Prints `closed` or `not closed`;\n"
    "the exit status is 0 for closed, 1 for not closed, 2 and more for an\n"
    "error.\n"
    "  $ portreeve is-closed web || echo 'still open, or unknown'";

// Adds the positional argument of a verb about one listener.
std::shared_ptr<std::string> AddListener(CLI::App& verb) {
  auto name = std::make_shared<std::string>();
  AddOption(verb, "LISTENER", "", "ID or listeners/ID. Required",
            [name](const std::string& text) {
              return Into(*name, client::ListenerName)(text);
            })
      ->required();
  return name;
}

}  // namespace

Verb AddGet(CLI::App& app) {
  CLI::App* verb = app.add_subcommand(
      "get",
      "Shows everything about one listener, open or closed, or about one live\n"
      "connection. `closed by reason` says why the listener's connections "
      "have\n"
      "ended, and after UPSTREAM_UNREACHABLE/ why a forward failed.\n"
      "  $ portreeve get web\n"
      "  $ portreeve get connections/a7");
  auto name = std::make_shared<std::string>();
  AddOption(
      *verb, "NAME", "",
      "ID or listeners/ID of a listener, or connections/ID. Required",
      [name](const std::string& text) { return Into(*name, AnyName)(text); })
      ->required();
  return {verb, [name](Session& session) -> absl::StatusOr<ExitStatus> {
            if (IsConnectionName(*name)) {
              const absl::StatusOr<v1::Connection> connection =
                  session.client.GetConnection(*name, session.Ordinary());
              if (!connection.ok()) return connection.status();
              const absl::Status printed =
                  session.Print(*connection, ConnectionView(*connection));
              if (!printed.ok()) return printed;
              return ExitStatus::kDone;
            }
            const absl::StatusOr<v1::Listener> listener =
                session.client.GetListener(*name, session.Ordinary());
            if (!listener.ok()) return listener.status();
            const absl::Status printed =
                session.Print(*listener, ListenerView(*listener));
            if (!printed.ok()) return printed;
            return ExitStatus::kDone;
          }};
}

Verb AddDaemon(CLI::App& app) {
  CLI::App* verb = app.add_subcommand(
      "daemon",
      "Shows the daemon: its version and process, since when it runs, and "
      "where\n"
      "it keeps its listeners (--state), and whether it can.\n"
      "  $ portreeve daemon");
  return {verb, [](Session& session) -> absl::StatusOr<ExitStatus> {
            const absl::StatusOr<v1::Daemon> daemon =
                session.client.GetDaemon(session.Ordinary());
            if (!daemon.ok()) return daemon.status();
            const absl::Status printed =
                session.Print(*daemon, DaemonView(*daemon));
            if (!printed.ok()) return printed;
            return ExitStatus::kDone;
          }};
}

Verb AddIsClosed(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("is-closed", kIsClosedHelp);
  auto name = AddListener(*verb);
  return {verb, [name](Session& session) -> absl::StatusOr<ExitStatus> {
            const absl::StatusOr<bool> closed =
                session.client.IsClosed(*name, session.Ordinary());
            if (!closed.ok()) return closed.status();
            v1::IsClosedResponse response;
            response.set_is_closed(*closed);
            const absl::Status printed =
                session.Print(response, *closed ? "closed\n" : "not closed\n");
            if (!printed.ok()) return printed;
            return *closed ? ExitStatus::kDone : ExitStatus::kNotClosed;
          }};
}

}  // namespace portreeve::cli
