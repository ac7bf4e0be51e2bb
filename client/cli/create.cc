// create and update.
#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"
#include "client/cli/option.h"
#include "client/cli/printable.h"
#include "client/cli/spec_flags.h"
#include "client/cli/verb.h"

namespace portreeve::cli {
namespace {

constexpr char kCreateHelp[] =
    "Opens a listener. Prints its name and the address that it has:\n"
    "  $ portreeve create web --listen tcp:127.0.0.1:0 --echo\n"
    "  listeners/web tcp:127.0.0.1:40123\n"
    "  $ portreeve create --listen 'tcp:*:8080' --forward tcp:10.0.0.1:80";

constexpr char kUpdateHelp[] =
    "Changes a listener while it runs. What is not given stays as it is, and "
    "no\n"
    "connection is closed. A change of the handler or of the buffer age limit\n"
    "holds for connections accepted afterwards.\n"
    "  $ portreeve update web --max-connections 100";

}  // namespace

Verb AddCreate(CLI::App& app, const Environment& environment) {
  CLI::App* verb = app.add_subcommand("create", kCreateHelp);
  auto flags = std::make_shared<CreateFlags>(environment.directory);
  flags->AddTo(*verb);
  auto request = std::make_shared<v1::CreateListenerRequest>();
  verb->callback([flags, request] {
    auto parsed = flags->Request();
    if (!parsed.ok()) RefuseUsage(std::string(parsed.status().message()));
    *request = *std::move(parsed);
  });
  return {verb, [request](Session& session) -> absl::StatusOr<ExitStatus> {
            const absl::StatusOr<v1::Listener> listener =
                session.client.CreateListener(*request, session.Ordinary());
            if (!listener.ok()) return listener.status();
            const std::string text =
                request->validate_only()
                    ? "valid; nothing was created\n"
                    : absl::StrCat(Printable(listener->name()), " ",
                                   Printable(ListeningText(*listener)), "\n");
            const absl::Status printed = session.Print(*listener, text);
            if (!printed.ok()) return printed;
            return ExitStatus::kDone;
          }};
}

Verb AddUpdate(CLI::App& app, const Environment& environment) {
  CLI::App* verb = app.add_subcommand("update", kUpdateHelp);
  auto flags = std::make_shared<UpdateFlags>(environment.directory);
  flags->AddTo(*verb);
  auto request = std::make_shared<v1::UpdateListenerRequest>();
  verb->callback([flags, request] {
    auto parsed = flags->Request();
    if (!parsed.ok()) RefuseUsage(std::string(parsed.status().message()));
    *request = *std::move(parsed);
  });
  return {verb, [request](Session& session) -> absl::StatusOr<ExitStatus> {
            const absl::StatusOr<v1::Listener> listener =
                session.client.UpdateListener(*request, session.Ordinary());
            if (!listener.ok()) return listener.status();
            const std::string text =
                request->validate_only()
                    ? "valid; nothing was changed\n"
                    : absl::StrCat(Printable(listener->name()), " updated\n");
            const absl::Status printed = session.Print(*listener, text);
            if (!printed.ok()) return printed;
            return ExitStatus::kDone;
          }};
}

}  // namespace portreeve::cli
