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
#include "client/cli/stop_signals.h"
#include "client/cli/terminal.h"
#include "client/cli/value.h"
#include "client/cli/verb.h"
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
    "ends it at once. Another worker's `raised` is answered with RAISE.";

// How long a command may run on.
constexpr absl::Duration kGrace = absl::Seconds(10);

struct AttachFlags {
  std::string listener;  // A name.
  std::optional<std::vector<std::string>> command;
  std::optional<absl::Duration> grace;
  std::string directory;

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
}

void AttachFlags::Check() const {
  if (command && command->empty())
    RefuseUsage("a command is expected after --");
  if (grace && !command) RefuseUsage("--grace needs a command: -- COMMAND");
}

// What the worker's next message asks for is done by `serve`; ends with the
// worker, or once `serve` gives false.
template <typename Serve>
absl::Status TakeOffers(client::Worker& worker, Notes& notes, Serve serve) {
  while (true) {
    const auto next = worker.Next();
    if (!next.ok()) return next.status();
    if (!next->has_value()) return absl::OkStatus();
    const v1::HandleResponse& message = **next;
    if (message.has_offer()) {
      if (!serve(message.offer().connection())) return absl::OkStatus();
    } else {
      // Nothing that is served here raises: it was a worker that has left.
      const auto& error = message.handler_error();
      notes.Say(absl::StrCat(error.connection(), ": a handler raised: ",
                             error.message(), "; the answer is RAISE"));
      worker.Give(error.id(), v1::HANDLER_VERDICT_RAISE).IgnoreError();
    }
  }
}

void SayThatItCounts(const AttachFlags& flags, Notes& notes) {
  notes.Say(absl::StrCat("waiting for connections of ", flags.listener));
}

absl::StatusOr<ExitStatus> ServeFirst(const AttachFlags& flags,
                                      Session& session) {
  std::optional<client::Stream> stream;
  {
    Notes notes("attach", session.err);
    auto worker = session.client.Handle(flags.listener, session.Waiting());
    if (!worker.ok()) return worker.status();
    SayThatItCounts(flags, notes);
    const auto attach = [&](const v1::Connection& offered) {
      auto attached = session.client.Attach(offered.name(), session.Waiting());
      if (attached.ok()) {
        stream = *std::move(attached);
        return false;
      }
      // It has gone meanwhile, or to another: wait for the next.
      notes.Say(absl::StrCat(offered.name(),
                             ": not attached: ", attached.status().message()));
      return true;
    };
    const absl::Status ended = TakeOffers(*worker, notes, attach);
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
  auto worker = session.client.Handle(flags.listener, session.Waiting());
  if (!worker.ok()) return worker.status();
  CommandServer server(session.client,
                       {.line = line,
                        .grace = flags.grace.value_or(kGrace),
                        .call = session.Waiting()},
                       notes);
  const StopSignals signals([&] {
    server.Stop();
    worker->Cancel();
  });
  SayThatItCounts(flags, notes);
  const absl::Status ended =
      TakeOffers(*worker, notes, [&](const v1::Connection& offered) {
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
