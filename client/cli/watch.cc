// watch.
#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <algorithm>
#include <memory>
#include <ostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/event_feed.h"
#include "client/cli/event_text.h"
#include "client/cli/notes.h"
#include "client/cli/option.h"
#include "client/cli/resume.h"
#include "client/cli/value.h"
#include "client/cli/verb.h"
#include "client/name.h"

namespace portreeve::cli {
namespace {

constexpr char kWatchHelp[] =
    "Prints events as they happen. One a line, flushed at once: revision,\n"
    "time (UTC), kind, subject, details. -o json prints one Event a line.\n"
    "Once the watch counts, so that nothing that follows is missed, it says\n"
    "`portreeve: watching ADDRESS` on stderr. When the daemon is lost or "
    "shuts\n"
    "down, it says so on stderr, tries again with waits of up to 10 s, and\n"
    "goes on where it was. A daemon that was started anew counts its "
    "revisions\n"
    "anew: that is told, too, and the watch goes on with the first of its\n"
    "events, or with a snapshot where --snapshot was given; with "
    "--instance-id\n"
    "it ends instead (exit status 4). What is not kept any more, or came\n"
    "faster than it was read, is told by `gap`. A listener that is not there\n"
    "is waited for. Ends with Ctrl-C, with --timeout (exit status 5, and\n"
    "nothing is said), or when the daemon has been lost for --retry-for (exit\n"
    "status 3), never with 0. An upgrade of the daemon is the event\n"
    "daemon_upgraded, and nothing else.\n"
    "  $ portreeve watch --listener web --kind connection-accepted\n"
    "  $ portreeve watch --from-revision 1 -o json";

struct WatchFlags {
  v1::WatchEventsRequest request;
  ResumeFlags resume;
};

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

std::string KindHelp() {
  return absl::StrCat(
      "Events of this kind only; may be repeated. Default: all."
      " ",
      absl::StrJoin(EnumTexts<v1::EventKind>(), ", "),
      ". Of these snapshot-done and gap always come, and "
      "progress only if it is named");
}

// Whether an event is for the user: `progress` is for this program, unless it
// was asked for.
bool IsShown(const v1::Event& event, const v1::WatchEventsRequest& request) {
  if (!event.has_progress()) return true;
  return std::find(request.kinds().begin(), request.kinds().end(),
                   v1::EVENT_KIND_PROGRESS) != request.kinds().end();
}

// Whoever has mistyped a name waits for ever.
void SayWhatIsNotThere(const v1::WatchEventsRequest& request, Session& session,
                       Notes& notes) {
  for (const std::string& name : request.listeners()) {
    const auto listener = session.client.GetListener(name, session.Ordinary());
    if (absl::IsNotFound(listener.status())) {
      notes.Say(absl::StrCat("there is no ", name, "; waiting for one"));
    }
  }
}

absl::StatusOr<ExitStatus> Run(const WatchFlags& flags, Session& session) {
  Notes notes("watch", session.err);
  Resume resume(flags.resume, session, notes);
  v1::WatchEventsRequest first = flags.request;
  if (flags.resume.progress_interval) {
    *first.mutable_progress_interval() = *flags.resume.progress_interval;
  }
  EventFeed feed(session, resume, notes, first);
  EventFeed::Callbacks callbacks;
  callbacks.on_start = [&](const EventFeed::Start& start) {
    if (!resume.has_started()) {
      session.err << absl::StrCat("portreeve: watching ",
                                  session.options.server->text, "\n")
                  << std::flush;
    }
    resume.OnStart("watching on");
    if (start.is_new_daemon) SayWhatIsNotThere(first, session, notes);
  };
  callbacks.on_event =
      [&](const v1::Event& event) -> absl::StatusOr<EventFeed::Next> {
    if (IsShown(event, first)) {
      const absl::Status printed =
          session.Print(event, absl::StrCat(EventText(event), "\n"));
      if (!printed.ok()) return printed;
    }
    return EventFeed::Next::kGoOn;
  };
  return feed.Run(callbacks);
}

// Where the watch begins.
void AddStart(CLI::App& verb, const std::shared_ptr<WatchFlags>& flags) {
  v1::WatchEventsRequest* const request = &flags->request;
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
  verb.callback([flags] {
    const v1::WatchEventsRequest* const request = &flags->request;
    if (request->initial_snapshot() && request->start_revision() != 0) {
      RefuseUsage("--snapshot and --from-revision do not go together");
    }
  });
}

}  // namespace

Verb AddWatch(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("watch", kWatchHelp);
  auto flags = std::make_shared<WatchFlags>();
  v1::WatchEventsRequest* const request = &flags->request;
  AddRepeatedOption(*verb, "--listener", "LISTENER",
                    "Events of this listener and its connections only; may be "
                    "repeated. Default: all",
                    [request](const std::string& text) {
                      auto name = client::ListenerName(text);
                      if (name.ok()) request->add_listeners(*name);
                      return name.status();
                    });
  AddRepeatedOption(*verb, "--kind", "KIND", KindHelp(),
                    [request](const std::string& text) {
                      auto kind = ParseEnum<v1::EventKind>(text);
                      if (kind.ok()) request->add_kinds(*kind);
                      return kind.status();
                    });
  AddStart(*verb, flags);
  flags->resume.AddTo(*verb);
  return {verb, [flags](Session& session) { return Run(*flags, session); }};
}

}  // namespace portreeve::cli
