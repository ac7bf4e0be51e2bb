// close, close-finished and delete.
#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/comes_back.h"
#include "client/cli/format.h"
#include "client/cli/notes.h"
#include "client/cli/option.h"
#include "client/cli/printable.h"
#include "client/cli/value.h"
#include "client/cli/verb.h"
#include "client/error.h"
#include "client/name.h"
#include "google/protobuf/empty.pb.h"

namespace portreeve::cli {
namespace {

constexpr char kCloseHelp[] =
    "Closes a listener: it accepts no more. Its connections live on unless\n"
    "--existing says otherwise. Waits until its socket is closed, or as\n"
    "--wait-for says, for as long as --timeout allows; giving up undoes\n"
    "nothing. Closing what is closed is no error.\n"
    "  $ portreeve close web\n"
    "  $ portreeve close web --existing close --wait-for handlers-determined";

constexpr char kCloseFinishedHelp[] =
    "Waits until someone closes a listener. Closes nothing itself, and waits "
    "for\n"
    "as long as --timeout allows.\n"
    "  $ portreeve close-finished web && echo gone";

constexpr char kWaitForHelp[] =
    "Answer once its socket is closed, once close has begun, or once every "
    "handler has ended too. Default: close-finished";

std::string EndText(const v1::Listener& listener) {
  const v1::ListenerStatus& status = listener.status();
  return absl::StrCat(Printable(listener.name()), " ", EnumText(status.state()),
                      " cause=", EnumText(status.close_cause()),
                      " connections=", status.num_connections(),
                      " handlers-determined=",
                      status.handlers_determined() ? "yes" : "no", "\n");
}

std::string NumConnectionsText(int number) {
  return number == 1 ? "1 connection" : absl::StrCat(number, " connections");
}

// What a listener lacks yet that somebody waits for.
std::string StillText(const v1::Listener& listener) {
  const v1::ListenerStatus& status = listener.status();
  const std::string& name = listener.name();
  if (!status.is_closed()) {
    return absl::StrCat(name, " is ", EnumText(status.state()),
                        ": nobody has closed it yet");
  }
  if (!status.close_finished()) {
    return absl::StrCat(name, " is ", EnumText(status.state()),
                        ": its socket is not closed yet");
  }
  return absl::StrCat(name, " is ", EnumText(status.state()), " with ",
                      NumConnectionsText(status.num_connections()),
                      " still open, which go on: portreeve connections ", name,
                      " shows them");
}

// Gives what a wait has ended with; where that is --timeout, with a text that
// says what is still open, if the daemon tells.
absl::Status WithWhatIsOpen(Session& session, const std::string& name,
                            const absl::Status& ended) {
  constexpr absl::Duration kMost = absl::Seconds(1);
  if (!absl::IsDeadlineExceeded(ended)) return ended;
  const auto listener =
      session.client.GetListener(name, client::CallOptions{.timeout = kMost});
  if (!listener.ok()) return ended;
  return absl::DeadlineExceededError(StillText(*listener));
}

// Says where a listener comes back, which `verb` has taken away.
void SayIfItComesBack(Session& session, const char* verb,
                      const v1::Listener& listener) {
  const std::string text = ComesBackText(listener);
  if (!text.empty()) Notes(verb, session.err).Say(text);
}

// The arguments of the two that wait; they are the same fields of `request`.
template <typename Request>
void AddWaitArguments(CLI::App& verb, const std::shared_ptr<Request>& request) {
  AddOption(verb, "LISTENER", "", "ID or listeners/ID. Required",
            [request](const std::string& text) {
              return Into(*request->mutable_name(), client::ListenerName)(text);
            })
      ->required();
  AddOption(verb, "--wait-for",
            "close-finished|close-started|handlers-determined", kWaitForHelp,
            [request](const std::string& text) {
              auto wait_for = ParseEnum<v1::WaitFor>(text);
              if (wait_for.ok()) request->set_wait_for(*wait_for);
              return wait_for.status();
            });
}

}  // namespace

Verb AddClose(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("close", kCloseHelp);
  auto request = std::make_shared<v1::CloseListenerRequest>();
  AddWaitArguments(*verb, request);
  AddOption(*verb, "--existing", "leave|close|reset",
            "Its connections: live on, are flushed and closed within 30s, or "
            "are reset. Default: leave",
            [request](const std::string& text) {
              auto existing = ParseEnum<v1::ExistingConnections>(text);
              if (existing.ok()) request->set_existing_connections(*existing);
              return existing.status();
            });
  return {verb, [request](Session& session) -> absl::StatusOr<ExitStatus> {
            const absl::StatusOr<v1::Listener> listener =
                session.client.CloseListener(*request, session.Waiting());
            if (!listener.ok()) {
              return WithWhatIsOpen(session, request->name(),
                                    listener.status());
            }
            const absl::Status printed =
                session.Print(*listener, EndText(*listener));
            if (!printed.ok()) return printed;
            SayIfItComesBack(session, "close", *listener);
            return ExitStatus::kDone;
          }};
}

Verb AddCloseFinished(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("close-finished", kCloseFinishedHelp);
  auto request = std::make_shared<v1::CloseFinishedRequest>();
  AddWaitArguments(*verb, request);
  return {verb, [request](Session& session) -> absl::StatusOr<ExitStatus> {
            absl::StatusOr<v1::Listener> listener =
                session.client.CloseFinished(*request, session.Waiting());
            if (!listener.ok()) {
              return WithWhatIsOpen(session, request->name(),
                                    listener.status());
            }
            const std::string text = EndText(*listener);
            v1::CloseFinishedResponse response;
            *response.mutable_listener() = *std::move(listener);
            const absl::Status printed = session.Print(response, text);
            if (!printed.ok()) return printed;
            return ExitStatus::kDone;
          }};
}

Verb AddDelete(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("delete",
                                      "Forgets a closed listener. It may have "
                                      "no connections any more; its ID is\n"
                                      "free again. One of a file of the "
                                      "daemon's (--listeners) comes back at "
                                      "its\nnext start.");
  auto name = std::make_shared<std::string>();
  AddOption(*verb, "LISTENER", "", "ID or listeners/ID. Required",
            [name](const std::string& text) {
              return Into(*name, client::ListenerName)(text);
            })
      ->required();
  return {verb, [name](Session& session) -> absl::StatusOr<ExitStatus> {
            // What it was, for the note; the daemon tells no more afterwards.
            const auto listener =
                session.client.GetListener(*name, session.Ordinary());
            if (client::IsUnreachable(listener.status())) {
              return listener.status();
            }
            const absl::Status deleted =
                session.client.DeleteListener(*name, session.Ordinary());
            if (!deleted.ok()) return deleted;
            const absl::Status printed = session.Print(
                google::protobuf::Empty(), absl::StrCat(*name, " deleted\n"));
            if (!printed.ok()) return printed;
            if (listener.ok()) SayIfItComesBack(session, "delete", *listener);
            return ExitStatus::kDone;
          }};
}

}  // namespace portreeve::cli
