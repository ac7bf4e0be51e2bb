// connections and kill.
#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"
#include "client/cli/option.h"
#include "client/cli/printable.h"
#include "client/cli/verb.h"
#include "client/name.h"

namespace portreeve::cli {
namespace {

// Gives what a wait has ended with; where that is --timeout, with a text that
// says what it waits for, if the daemon tells.
absl::Status WithWhatItWaitsFor(Session& session, const std::string& name,
                                const absl::Status& ended) {
  constexpr absl::Duration kMost = absl::Seconds(1);
  if (!absl::IsDeadlineExceeded(ended)) return ended;
  const auto connection =
      session.client.GetConnection(name, client::CallOptions{.timeout = kMost});
  if (!connection.ok()) return ended;
  return absl::DeadlineExceededError(absl::StrCat(
      connection->name(), " is ", EnumText(connection->state()), ": ",
      connection->bytes_to_write(),
      " bytes wait for its peer, for 30s at most; --reset ends it at once"));
}

}  // namespace

Verb AddConnections(CLI::App& app) {
  CLI::App* verb = app.add_subcommand(
      "connections",
      "Lists the live connections of a listener, or all.\n"
      "-o json gives one ListConnectionsResponse with all of them.");
  auto listener = std::make_shared<std::string>();
  AddOption(*verb, "LISTENER", "", "ID or listeners/ID. Default: all",
            [listener](const std::string& text) {
              return Into(*listener, client::ListenerName)(text);
            });
  return {verb, [listener](Session& session) -> absl::StatusOr<ExitStatus> {
            const absl::StatusOr<v1::ListConnectionsResponse> response =
                session.client.ListAllConnections(*listener,
                                                  session.Ordinary());
            if (!response.ok()) return response.status();
            const absl::Status printed =
                session.Print(*response, ConnectionTable(*response));
            if (!printed.ok()) return printed;
            return ExitStatus::kDone;
          }};
}

Verb AddKill(CLI::App& app) {
  CLI::App* verb = app.add_subcommand(
      "kill",
      "Closes one connection. What was written to it is flushed first, for at\n"
      "most 30s. Waits until it is closed.\n"
      "  $ portreeve kill a7");
  auto request = std::make_shared<v1::CloseConnectionRequest>();
  AddOption(*verb, "CONNECTION", "", "ID or connections/ID. Required",
            [request](const std::string& text) {
              return Into(*request->mutable_name(),
                          client::ConnectionName)(text);
            })
      ->required();
  auto reset = std::make_shared<bool>(false);
  verb->add_flag("--reset", *reset,
                 "Reset it (RST) at once; unflushed bytes are lost");
  return {
      verb, [request, reset](Session& session) -> absl::StatusOr<ExitStatus> {
        request->set_mode(*reset ? v1::CLOSE_MODE_RESET : v1::CLOSE_MODE_CLOSE);
        const absl::StatusOr<v1::Connection> connection =
            session.client.CloseConnection(*request, session.Waiting());
        if (!connection.ok()) {
          return WithWhatItWaitsFor(session, request->name(),
                                    connection.status());
        }
        const std::string text = absl::StrCat(
            Printable(connection->name()), " ", EnumText(connection->state()),
            " reason=", EnumText(connection->close_reason()),
            " received=", connection->bytes_received(),
            " sent=", connection->bytes_sent(), "\n");
        const absl::Status printed = session.Print(*connection, text);
        if (!printed.ok()) return printed;
        return ExitStatus::kDone;
      }};
}

}  // namespace portreeve::cli
