// top.
#include <signal.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/cli/details.h"
#include "client/cli/notes.h"
#include "client/cli/option.h"
#include "client/cli/resume.h"
#include "client/cli/screen.h"
#include "client/cli/stats_feed.h"
#include "client/cli/stop_signals.h"
#include "client/cli/top_model.h"
#include "client/cli/top_view.h"
#include "client/cli/value.h"
#include "client/cli/verb.h"
#include "client/name.h"

namespace portreeve::cli {
namespace {

constexpr char kTopHelp[] =
    "Shows what the listeners do now: how many connections are open of how "
    "many\n"
    "that may be, how many wait in the kernel to be accepted, and accepts, "
    "closes\n"
    "and bytes per second, in the order of the fastest. Above them the daemon: "
    "its\n"
    "descriptors, CPU, memory, and how long its loop makes others wait. Keys:\n"
    "s orders by the next column, / filters by name, the arrows select, Enter\n"
    "shows everything about a listener, q ends.\n"
    "With -o json, or where the output is no terminal, it prints a\n"
    "WatchStatsResponse a line and interval, as they come; with --once a table "
    "of\n"
    "one interval, and ends.\n"
    "  $ portreeve top --sort in\n"
    "  $ portreeve top --once -n 5\n"
    "  $ portreeve top -o json --interval 10s >> stats.jsonl";

struct TopFlags {
  v1::WatchStatsRequest request;
  TopOrder order = TopOrder::kAccepts;
  int most = 0;  // 0: as many as there are.
  bool once = false;
  ResumeFlags resume;
};

absl::StatusOr<TopOrder> ParseOrder(const std::string& text) {
  static const auto* const orders =
      new std::map<std::string, TopOrder>{{"accepts", TopOrder::kAccepts},
                                          {"open", TopOrder::kOpen},
                                          {"in", TopOrder::kIn},
                                          {"out", TopOrder::kOut},
                                          {"name", TopOrder::kName}};
  const auto found = orders->find(text);
  if (found != orders->end()) return found->second;
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "': expected accepts, open, in, out or name"));
}

absl::StatusOr<int> ParseMost(const std::string& text) {
  const absl::StatusOr<int32_t> number = ParseInt32(text);
  if (!number.ok() || *number < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "': expected a number from 1 on"));
  }
  return *number;
}

// Prints each message, or one table.
absl::StatusOr<ExitStatus> Print(const TopFlags& flags, Session& session) {
  Notes notes("top", session.err);
  Resume resume(flags.resume, session, notes);
  StatsFeed feed(session, resume, flags.request);
  const bool as_table = flags.once && session.options.output != Output::kJson;
  TopModel model;
  bool has_rates = false;
  StatsFeed::Callbacks callbacks;
  callbacks.on_start = [&] { model.OnStreamStarted(); };
  callbacks.on_lost = [](const absl::Status&) {};
  callbacks.on_message =
      [&](const v1::WatchStatsResponse& message) -> absl::StatusOr<bool> {
    if (!as_table) {
      const absl::Status printed = session.PrintJson(message);
      if (!printed.ok()) return printed;
      return !flags.once || message.has_more();
    }
    model.Take(message);
    has_rates = !message.has_more() && model.has_rates();
    return !has_rates;
  };
  const absl::StatusOr<ExitStatus> ended = feed.Run(callbacks);
  if (!ended.ok() || !has_rates) return ended;
  const size_t most =
      flags.most == 0 ? std::string::npos : static_cast<size_t>(flags.most);
  session.out << TopView(flags.order).Table(model, most) << std::flush;
  if (!session.out) return absl::DataLossError("the output cannot be written");
  return ended;
}

// The thread that reads from the daemon, and what it has read.
class Reading {
 public:
  Reading(const TopFlags& flags, Session& session, const Screen& screen)
      : screen_(screen),
        notes_("top", said_),
        resume_(flags.resume, session, notes_),
        feed_(session, resume_, flags.request),
        thread_([this] { Run(); }) {}
  ~Reading() {
    Stop();
    thread_.join();
  }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

  // Calls `f` with the model, while nobody else has it.
  template <typename F>
  auto With(F f) {
    absl::MutexLock lock(&mutex_);
    return f(model_);
  }
  // Since when the daemon is lost; nothing while it is not.
  std::optional<absl::Time> lost_since() {
    absl::MutexLock lock(&mutex_);
    return lost_since_;
  }
  // How it has ended; nothing while it has not.
  std::optional<absl::StatusOr<ExitStatus>> ended() {
    absl::MutexLock lock(&mutex_);
    return ended_;
  }
  void Stop() { feed_.Stop(); }

 private:
  void Run() {
    StatsFeed::Callbacks callbacks;
    callbacks.on_start = [this] {
      absl::MutexLock lock(&mutex_);
      model_.OnStreamStarted();
      lost_since_.reset();
    };
    callbacks.on_lost = [this](const absl::Status&) {
      {
        absl::MutexLock lock(&mutex_);
        if (!lost_since_) lost_since_ = absl::Now();
      }
      screen_.Wake();
    };
    callbacks.on_message =
        [this](const v1::WatchStatsResponse& message) -> absl::StatusOr<bool> {
      {
        absl::MutexLock lock(&mutex_);
        model_.Take(message);
      }
      screen_.Wake();
      return true;
    };
    const absl::StatusOr<ExitStatus> ended = feed_.Run(callbacks);
    {
      absl::MutexLock lock(&mutex_);
      ended_ = ended;
    }
    screen_.Wake();
  }

  const Screen& screen_;
  std::ostringstream said_;  // The headline says it.
  Notes notes_;
  Resume resume_;
  StatsFeed feed_;
  absl::Mutex mutex_;
  TopModel model_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Time> lost_since_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::StatusOr<ExitStatus>> ended_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

std::string Headline(const Session& session,
                     const std::optional<absl::Time>& lost_since) {
  const std::string& server = session.options.server->text;
  if (!lost_since) return absl::StrCat("portreeve ", server);
  return absl::StrCat("portreeve ", server, " - LOST for ",
                      absl::FormatDuration(absl::Trunc(
                          absl::Now() - *lost_since, absl::Seconds(1))),
                      ", trying again");
}

absl::StatusOr<ExitStatus> ShowOnTerminal(const TopFlags& flags,
                                          Session& session) {
  absl::StatusOr<ExitStatus> ended = ExitStatus::kDone;
  int ended_by = 0;  // A signal.
  {
    Screen screen(session.input, session.output);
    Reading reading(flags, session, screen);
    StopSignals signals([&screen] { screen.Wake(); });
    TopView view(flags.order);
    std::unique_ptr<Details> details;  // Null: the view is shown.
    while (true) {
      TopView::Size size;
      screen.ReadSize(size.columns, size.rows);
      const std::string headline = Headline(session, reading.lost_since());
      const auto lines = details != nullptr
                             ? details->Lines(size.columns, size.rows)
                             : reading.With([&](const TopModel& model) {
                                 return view.Draw(model, headline, size);
                               });
      if (!screen.Show(lines)) break;
      std::string typed;
      if (!screen.Await(typed) || signals.stopped()) {
        ended_by = signals.stopped_by();
        break;
      }
      if (const auto end = reading.ended()) {
        ended = *end;
        break;
      }
      if (typed.empty()) continue;
      if (details != nullptr) {
        details.reset();
        continue;
      }
      const TopView::Action action = view.OnInput(typed);
      if (action == TopView::Action::kQuit) break;
      if (action != TopView::Action::kDetails) continue;
      details = std::make_unique<Details>(view.selected(), session,
                                          [&screen] { screen.Wake(); });
    }
  }
  // As whoever started this expects of one that a signal has ended.
  if (ended_by != 0) (void)raise(ended_by);
  return ended;
}

absl::StatusOr<ExitStatus> Run(const TopFlags& flags, Session& session) {
  const bool on_terminal = session.options.output != Output::kJson &&
                           !flags.once && isatty(session.output) != 0 &&
                           isatty(session.input) != 0;
  return on_terminal ? ShowOnTerminal(flags, session) : Print(flags, session);
}

}  // namespace

Verb AddTop(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("top", kTopHelp);
  auto flags = std::make_shared<TopFlags>();
  AddOption(*verb, "--interval", "DURATION",
            "The time between two looks, 100ms to 1h. Default: 1s",
            [flags](const std::string& text) {
              auto interval = ParseProtoDuration(text);
              if (interval.ok()) {
                *flags->request.mutable_interval() = *interval;
              }
              return interval.status();
            });
  AddOption(*verb, "--sort", "COLUMN",
            "What the table is ordered by: accepts, open, in, out or name. "
            "Default: accepts",
            Into(flags->order, ParseOrder));
  AddOption(*verb, "-n", "N", "With --once, how many listeners. Default: all",
            Into(flags->most, ParseMost));
  AddRepeatedOption(*verb, "--listener", "LISTENER",
                    "This listener only; may be repeated. Default: all",
                    [flags](const std::string& text) {
                      auto name = client::ListenerName(text);
                      if (name.ok()) flags->request.add_listeners(*name);
                      return name.status();
                    });
  verb->add_flag("--once", flags->once,
                 "Print a table of one interval, and end");
  flags->resume.AddRetryFor(*verb);
  return {verb, [flags](Session& session) { return Run(*flags, session); }};
}

}  // namespace portreeve::cli
