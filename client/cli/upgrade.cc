// upgrade.
#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/cli/format.h"
#include "client/cli/option.h"
#include "client/cli/value.h"
#include "client/cli/verb.h"

namespace portreeve::cli {
namespace {

constexpr char kUpgradeHelp[] =
    "Has the daemon start its program anew, which takes over: sockets,\n"
    "listeners, events, counts, and the connections of echo, discard and\n"
    "forward listeners. Nobody is refused meanwhile. Others stay with the\n"
    "former process, which serves them to their end.\n"
    "  $ portreeve upgrade\n"
    "  4711 -> 4802: 1000 connections moved, 12 held until "
    "2024-05-01T20:31:00.250Z";

std::string Text(int64_t before, const v1::Daemon& after) {
  std::string text = absl::StrCat(before, " -> ", after.pid());
  const v1::Daemon::Predecessor& former = after.predecessor();
  absl::StrAppend(&text, ": ", CountText(former.moved(), "connection"),
                  " moved, ", former.connections(), " held");
  if (former.connections() > 0) {
    absl::StrAppend(&text, " until ", TimeText(former.deadline()));
  }
  return text + "\n";
}

}  // namespace

Verb AddUpgrade(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("upgrade", kUpgradeHelp);
  auto request = std::make_shared<v1::UpgradeDaemonRequest>();
  AddOption(*verb, "--drain", "DURATION",
            "How long connections may go on in the former process before they "
            "are reset, like 1h. Default: what the daemon's --takeover-drain "
            "says",
            [request](const std::string& text) -> absl::Status {
              auto drain = ParseProtoDuration(text);
              if (!drain.ok()) return drain.status();
              *request->mutable_drain_timeout() = *std::move(drain);
              return absl::OkStatus();
            });
  verb->add_flag_callback(
      "--validate-only", [request] { request->set_validate_only(true); },
      "Only check whether an upgrade can begin");
  return {verb, [request](Session& session) -> absl::StatusOr<ExitStatus> {
            const absl::StatusOr<v1::Daemon> before =
                session.client.GetDaemon(session.Ordinary());
            if (!before.ok()) return before.status();
            const absl::StatusOr<v1::Daemon> after =
                session.client.UpgradeDaemon(*request, session.Waiting());
            if (!after.ok()) return after.status();
            const absl::Status printed = session.Print(
                *after, request->validate_only()
                            ? absl::StrCat(after->pid(), " can be upgraded\n")
                            : Text(before->pid(), *after));
            if (!printed.ok()) return printed;
            return ExitStatus::kDone;
          }};
}

}  // namespace portreeve::cli
