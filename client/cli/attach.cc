// attach.
#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/command_server.h"
#include "client/cli/notes.h"
#include "client/cli/option.h"
#include "client/cli/resume.h"
#include "client/cli/stop_signals.h"
#include "client/cli/terminal.h"
#include "client/cli/value.h"
#include "client/cli/verb.h"
#include "client/cli/worker_loop.h"
#include "client/error.h"
#include "client/name.h"
#include "client/worker.h"

namespace portreeve::cli {
namespace {

constexpr char kAttachHelp[] =
    "Serves connections of a listener that was created with --remote.\n"
    "  $ portreeve attach web\n"
    "serves the first one on the terminal: what it sends goes to stdout,\n"
    "stdin goes to it, the end of stdin is sent as FIN. Ends once both ends\n"
    "have sent theirs, exit status 0, or when the connection is cut (7).\n"
    "  $ portreeve attach web -- COMMAND ARGS...\n"
    "serves each one with a command of its own, like inetd: its stdin and\n"
    "stdout are the connection, its stderr is ours, and it has\n"
    "PORTREEVE_CONNECTION, PORTREEVE_LISTENER, PORTREEVE_PEER and\n"
    "PORTREEVE_LOCAL in its environment. shutdown() is FIN, its end closes "
    "the\n"
    "connection; its exit status is told on stderr where it is not 0, and\n"
    "changes nothing. A connection that is cut is its end of input, too, and\n"
    "it cannot write any more; the reason is told on stderr. Ends once the\n"
    "listener is closed and every command has ended, exit status 0. So it\n"
    "does at SIGINT or SIGTERM, after cutting the connections; a second one\n"
    "ends it at once. Another worker's `raised` is answered with RAISE.\n"
    "When the daemon is lost or shuts down, its connections are cut; attach\n"
    "says so on stderr and comes back as soon as the daemon and the listener\n"
    "are there again, with waits of up to 10 s. It ends with exit status 3\n"
    "once that has taken --retry-for, never with 0. An upgrade of the daemon\n"
    "shows in nothing but a pause.";

// How long a command may run on.
constexpr absl::Duration kGrace = absl::Seconds(10);

struct AttachFlags {
  std::string listener;  // A name.
  std::optional<std::vector<std::string>> command;
  std::optional<absl::Duration> grace;
  std::string directory;
  ResumeFlags resume;

  void AddTo(CLI::App& verb);
  // After the parsing.
  void Check() const;
};

void AttachFlags::AddTo(CLI::App& verb) {
  AddOption(verb, "LISTENER", "", "ID or listeners/ID. Required",
            Into(listener, client::ListenerName))
      ->required();
  AddOption(verb, "--grace", "DURATION",
            "How long a command may run on after its connection has closed; "
            "then it gets SIGTERM. Default: 10s",
            Into(grace, ParseDuration));
  resume.AddTo(verb);
}

void AttachFlags::Check() const {
  if (command && command->empty())
    RefuseUsage("a command is expected after --");
  if (grace && !command) RefuseUsage("--grace needs a command: -- COMMAND");
}

v1::HandleRequest::Start StartOf(const AttachFlags& flags) {
  v1::HandleRequest::Start start;
  start.set_listener(flags.listener);
  if (flags.resume.progress_interval) {
    *start.mutable_progress_interval() = *flags.resume.progress_interval;
  }
  return start;
}

absl::StatusOr<ExitStatus> ServeFirst(const AttachFlags& flags,
                                      Session& session) {
  std::optional<client::Stream> stream;
  {
    Notes notes("attach", session.err);
    Resume resume(flags.resume, session, notes);
    WorkerLoop worker(StartOf(flags), session, resume, notes);
    const absl::Status ended = worker.Run([&](const v1::Connection& offered) {
      auto attached =
          session.client.AttachOffered(offered.name(), resume.Call());
      if (attached.ok()) {
        stream = *std::move(attached);
        return false;
      }
      // It comes again.
      if (client::HasMoved(attached.status())) return true;
      // It has gone meanwhile, or to another: wait for the next.
      notes.Say(absl::StrCat(offered.name(),
                             ": not attached: ", attached.status().message()));
      return true;
    });
    if (!ended.ok()) return ended;
    if (!stream) {
      notes.Say(absl::StrCat(flags.listener, " is closed"));
      return ExitStatus::kDone;
    }
  }
  return ServeOnTerminal("attach", session, *stream);
}

absl::StatusOr<ExitStatus> ServeEach(const AttachFlags& flags,
                                     Session& session) {
  const CommandLine line = {*flags.command, flags.directory};
  const absl::Status runnable = CheckRunnable(line);
  if (!runnable.ok()) return runnable;
  Notes notes("attach", session.err);
  Resume resume(flags.resume, session, notes);
  WorkerLoop worker(StartOf(flags), session, resume, notes);
  CommandServer server(session.client,
                       {.line = line,
                        .grace = flags.grace.value_or(kGrace),
                        .call = [&resume] { return resume.Call(); }},
                       notes);
  const StopSignals signals([&] {
    server.Stop();
    worker.Stop();
  });
  const absl::Status ended = worker.Run([&](const v1::Connection& offered) {
    server.Serve(offered);
    return true;
  });
  server.AwaitAll();
  if (!ended.ok() && !signals.stopped()) return ended;
  return ExitStatus::kDone;
}

}  // namespace

Verb AddAttach(CLI::App& app, const Environment& environment,
               const std::optional<std::vector<std::string>>& command) {
  CLI::App* verb = app.add_subcommand("attach", kAttachHelp);
  auto flags = std::make_shared<AttachFlags>();
  flags->command = command;
  flags->directory = environment.directory;
  flags->AddTo(*verb);
  verb->callback([flags] { flags->Check(); });
  return {verb, [flags](Session& session) {
            return flags->command ? ServeEach(*flags, session)
                                  : ServeFirst(*flags, session);
          }};
}

}  // namespace portreeve::cli
