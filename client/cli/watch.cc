// watch.
#include "client/watch.h"

#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/event_text.h"
#include "client/cli/option.h"
#include "client/cli/value.h"
#include "client/cli/verb.h"
#include "client/name.h"

namespace portreeve::cli {
namespace {

constexpr char kWatchHelp[] =
    "Prints events as they happen. One a line, flushed at once: revision,\n"
    "time (UTC), kind, subject, details. -o json prints one Event a line.\n"
    "Once the watch counts, so that nothing that follows is missed, it says\n"
    "`portreeve: watching ADDRESS` on stderr. Ends with Ctrl-C, with\n"
    "--timeout (exit status 5), or when the daemon shuts down (exit status\n"
    "0). A watch that broke goes on where it was with --from-revision, the\n"
    "last revision printed plus 1, and --instance-id; what is not kept any\n"
    "more, or came faster than it was read, is told by `gap`.\n"
    "  $ portreeve watch --listener web --kind connection-accepted\n"
    "  $ portreeve watch --from-revision 1 -o json";

constexpr char kFromRevisionHelp[] =
    "Begin with the event of this number. The daemon keeps the newest 100000, "
    "as far as 128 MiB hold them. Default: 0, with what happens from now on";

constexpr char kInstanceIdHelp[] =
    "Refuse (INSTANCE_CHANGED) unless the daemon is still the one that had "
    "this instance_id, as -o json of list and watch shows it: another counts "
    "its revisions anew. Default: any daemon";

constexpr char kSnapshotHelp[] =
    "Begin with what there is: listener_created for every listener, "
    "connection_accepted for every connection, then snapshot_done. Not with "
    "--from-revision";

constexpr char kKindHelp[] =
    "Events of this kind only; may be repeated. Default: all. "
    "listener-created, listener-updated, listener-close-started, "
    "listener-close-finished, listener-handlers-determined, listener-deleted, "
    "connection-accepted, connection-dropped, connection-closed, "
    "handler-error, limit-reached, accept-failed, snapshot-done, gap (the last "
    "two always come)";

absl::StatusOr<ExitStatus> Run(const v1::WatchEventsRequest& request,
                               Session& session) {
  absl::StatusOr<client::Watch> watch =
      session.client.WatchEvents(request, session.Waiting());
  if (!watch.ok()) return watch.status();
  session.err << absl::StrCat("portreeve: watching ",
                              session.options.server->text, "\n")
              << std::flush;
  while (true) {
    const absl::StatusOr<std::vector<v1::Event>> events = watch->Next();
    if (!events.ok()) return events.status();
    if (events->empty()) break;
    for (const v1::Event& event : *events) {
      const absl::Status printed =
          session.Print(event, absl::StrCat(EventText(event), "\n"));
      if (!printed.ok()) return printed;
    }
  }
  session.err << "portreeve: watch: ended by the daemon, which shuts down\n";
  return ExitStatus::kDone;
}

// Where the watch begins.
void AddStart(CLI::App& verb,
              const std::shared_ptr<v1::WatchEventsRequest>& request) {
  AddOption(verb, "--from-revision", "N", kFromRevisionHelp,
            [request](const std::string& text) {
              auto revision = ParseInt64(text);
              if (revision.ok()) request->set_start_revision(*revision);
              return revision.status();
            });
  AddOption(verb, "--instance-id", "ID", kInstanceIdHelp,
            [request](const std::string& text) {
              request->set_instance_id(text);
              return absl::OkStatus();
            });
  verb.add_flag_callback(
      "--snapshot", [request] { request->set_initial_snapshot(true); },
      kSnapshotHelp);
  verb.callback([request] {
    if (request->initial_snapshot() && request->start_revision() != 0) {
      RefuseUsage("--snapshot and --from-revision do not go together");
    }
  });
}

}  // namespace

Verb AddWatch(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("watch", kWatchHelp);
  auto request = std::make_shared<v1::WatchEventsRequest>();
  AddRepeatedOption(*verb, "--listener", "LISTENER",
                    "Events of this listener and its connections only; may be "
                    "repeated. Default: all",
                    [request](const std::string& text) {
                      auto name = client::ListenerName(text);
                      if (name.ok()) request->add_listeners(*name);
                      return name.status();
                    });
  AddRepeatedOption(*verb, "--kind", "KIND", kKindHelp,
                    [request](const std::string& text) {
                      auto kind = ParseEnum<v1::EventKind>(text);
                      if (kind.ok()) request->add_kinds(*kind);
                      return kind.status();
                    });
  AddStart(*verb, request);
  return {verb, [request](Session& session) { return Run(*request, session); }};
}

}  // namespace portreeve::cli
