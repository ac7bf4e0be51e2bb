// list.
#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <CLI/Option.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/event_feed.h"
#include "client/cli/listener_changes.h"
#include "client/cli/listener_table.h"
#include "client/cli/notes.h"
#include "client/cli/resume.h"
#include "client/cli/verb.h"
#include "client/stats_watch.h"

namespace portreeve::cli {
namespace {

constexpr char kListHelp[] =
    "Lists all listeners. Those closed and not yet deleted are included.\n"
    "-o wide has more columns: connections that were dropped, handlers that\n"
    "failed (ERRORS), connections that are closed, bytes from and to clients,\n"
    "clients that wait in the kernel to be accepted of how many that may\n"
    "(BACKLOG), and since when it listens. `-` is what is not known, as who\n"
    "waits at a unix socket. -o json gives one ListListenersResponse with all\n"
    "of them.\n"
    "With --watch the table is followed by a line for each listener that is\n"
    "created, updated, closed, opened again, FAILED or deleted (DELETED), as "
    "it\n"
    "is then; connections come and go without one: top shows those. It does "
    "not\n"
    "ask who waits. -o json prints an Event a line: listener_created for each\n"
    "listener, snapshot_done, and then what happens. A daemon that is lost is\n"
    "waited for, as by watch, and what has changed meanwhile is told; where "
    "it\n"
    "was started anew, or not all of that is kept, -o json begins anew. Ends "
    "as\n"
    "watch does: with Ctrl-C, with --timeout (exit status 5), or when the "
    "daemon\n"
    "has been lost for --retry-for (exit status 3), never with 0.\n"
    "  $ portreeve list -o wide\n"
    "  $ portreeve list --watch";

struct ListFlags {
  bool watch = false;
  ResumeFlags resume;
};

ListenerColumns ColumnsOf(const Session& session) {
  return session.options.output == Output::kWide ? ListenerColumns::kWide
                                                 : ListenerColumns::kUsual;
}

// Puts the status that statistics have, which says who waits and counts the
// bytes of open connections, too, in the place of that of each listener.  Gives
// false where the daemon has no statistics.
absl::StatusOr<bool> AddStatistics(Session& session,
                                   std::vector<v1::Listener>& listeners) {
  v1::WatchStatsRequest request;
  request.mutable_interval()->set_seconds(3600);  // The first look is enough.
  std::map<std::string, v1::ListenerStatus> statuses;
  auto watch = session.client.WatchStats(request, session.Ordinary());
  absl::Status ended = watch.status();
  while (ended.ok()) {
    auto message = watch->Next();
    ended = message.status();
    if (!ended.ok() || !message->has_value()) break;
    for (const v1::ListenerStats& stats : (*message)->listeners()) {
      statuses[stats.name()] = stats.status();
    }
    if (!(*message)->has_more()) break;
  }
  if (absl::IsUnimplemented(ended)) return false;
  if (!ended.ok()) return ended;
  for (v1::Listener& listener : listeners) {
    const auto found = statuses.find(listener.name());
    if (found != statuses.end()) *listener.mutable_status() = found->second;
  }
  return true;
}

absl::StatusOr<ExitStatus> ListOnce(Session& session) {
  const absl::StatusOr<v1::ListListenersResponse> response =
      session.client.ListAllListeners(session.Ordinary());
  if (!response.ok()) return response.status();
  std::vector<v1::Listener> listeners(response->listeners().begin(),
                                      response->listeners().end());
  bool knows_backlog = false;
  if (session.options.output == Output::kWide) {
    const absl::StatusOr<bool> added = AddStatistics(session, listeners);
    if (!added.ok()) return added.status();
    knows_backlog = *added;
  }
  const absl::Status printed = session.Print(
      *response, ListenerTable(ColumnsOf(session))
                     .Lines(listeners, knows_backlog, absl::Now()));
  if (!printed.ok()) return printed;
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> Watch(const ListFlags& flags, Session& session) {
  Notes notes("list", session.err);
  Resume resume(flags.resume, session, notes);
  v1::WatchEventsRequest request;
  request.set_initial_snapshot(true);
  ListenerChanges::AddKinds(request);
  if (flags.resume.progress_interval) {
    *request.mutable_progress_interval() = *flags.resume.progress_interval;
  }
  const bool as_json = session.options.output == Output::kJson;
  ListenerChanges changes(ColumnsOf(session));
  EventFeed feed(session, resume, notes, request);
  EventFeed::Callbacks callbacks;
  callbacks.on_start = [&](const EventFeed::Start& start) {
    resume.OnStart("watching on");
    if (start.has_snapshot) changes.OnSnapshotBegun();
  };
  callbacks.on_event =
      [&](const v1::Event& event) -> absl::StatusOr<EventFeed::Next> {
    if (event.has_progress()) return EventFeed::Next::kGoOn;
    if (event.has_gap()) {
      notes.Say("not all that has happened is kept: lists anew");
      return EventFeed::Next::kStartAnew;
    }
    const std::string lines = as_json ? "" : changes.Take(event, absl::Now());
    if (as_json || !lines.empty()) {
      const absl::Status printed = session.Print(event, lines);
      if (!printed.ok()) return printed;
    }
    return EventFeed::Next::kGoOn;
  };
  return feed.Run(callbacks);
}

}  // namespace

Verb AddList(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("list", kListHelp);
  auto flags = std::make_shared<ListFlags>();
  CLI::Option* const watch = verb->add_flag(
      "-w,--watch", flags->watch,
      "Go on with a line for each listener that changes. Default: end");
  flags->resume.AddTo(*verb);
  for (const char* name : {"--retry-for", "--progress-interval"}) {
    verb->get_option(name)->needs(watch);
  }
  Verb added = {verb, [flags](Session& session) {
                  return flags->watch ? Watch(*flags, session)
                                      : ListOnce(session);
                }};
  added.has_wide = true;
  return added;
}

}  // namespace portreeve::cli
