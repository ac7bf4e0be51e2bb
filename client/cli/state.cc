// state.
#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/cli/error_text.h"
#include "client/cli/option.h"
#include "client/cli/printable.h"
#include "client/cli/verb.h"
#include "command_line/nearest.h"
#include "server/state/offline.h"

namespace portreeve::cli {
namespace {

constexpr char kStateHelp[] =
    "Checks, shows, repairs or copies what a daemon keeps on disk. DIR is "
    "that\n"
    "of portreeved's --state. No daemon is asked, and none need run; beside "
    "one\n"
    "that has DIR everything but repair works, and does not hold it up.\n"
    "  $ portreeve state check DIR\n"
    "reads all and prints a line for each record that does not check.\n"
    "  $ portreeve state dump DIR\n"
    "prints each record that checks as text of protobuf; the others are named "
    "on\n"
    "stderr.\n"
    "  $ portreeve state repair DIR\n"
    "puts a file with all records that check in the place of a damaged one, "
    "which\n"
    "is kept beside it. A sound one is left as it is. Stop the daemon before.\n"
    "  $ portreeve state backup DIR FILE\n"
    "copies the state as of one moment to FILE, which must not exist. To put "
    "it\n"
    "back: with the daemon stopped, an empty DIR, and FILE in it as\n"
    "portreeved.db.\n"
    "The exit status is 0 where the state is sound, or was repaired; 1 where "
    "it\n"
    "is damaged; 2 where it cannot be read.";

const std::vector<std::string> kActions = {"check", "dump", "repair", "backup"};

struct Arguments {
  std::string action;
  std::string directory;
  std::string file;  // Of backup.
};

std::string Absolute(const std::string& path, const std::string& base) {
  const std::string full =
      (std::filesystem::path(base) / path).lexically_normal().string();
  // "DIR/" is DIR.
  return full.size() > 1 && full.back() == '/' ? full.substr(0, full.size() - 1)
                                               : full;
}

std::string Counts(const server::StateReport& report) {
  return absl::StrCat(
      report.listeners, report.listeners == 1 ? " listener" : " listeners",
      ", ", report.requests, report.requests == 1 ? " request" : " requests");
}

void PrintDamages(const server::StateReport& report, const std::string& prefix,
                  std::ostream& to) {
  for (const std::string& damage : report.damages) {
    to << absl::StrCat(prefix, Printable(damage), "\n");
  }
}

absl::StatusOr<ExitStatus> Check(const Arguments& arguments, std::ostream& out,
                                 std::ostream&) {
  const auto report = server::CheckState(arguments.directory);
  if (!report.ok()) return report.status();
  PrintDamages(*report, "", out);
  if (report->is_sound()) {
    out << absl::StrCat("sound: ", Counts(*report), "\n");
    return ExitStatus::kDone;
  }
  out << absl::StrCat("damaged: ", Counts(*report), " check; portreeve state ",
                      "repair ", Printable(arguments.directory),
                      " keeps them\n");
  return ExitStatus::kDamaged;
}

absl::StatusOr<ExitStatus> Dump(const Arguments& arguments, std::ostream& out,
                                std::ostream& err) {
  const auto dump = server::DumpState(arguments.directory);
  if (!dump.ok()) return dump.status();
  out << dump->text;
  PrintDamages(dump->report, "portreeve: state: ", err);
  return dump->report.is_sound() ? ExitStatus::kDone : ExitStatus::kDamaged;
}

absl::StatusOr<ExitStatus> Repair(const Arguments& arguments, std::ostream& out,
                                  std::ostream&) {
  const auto repair = server::RepairState(arguments.directory);
  if (!repair.ok()) return repair.status();
  if (repair->report.is_sound()) {
    out << absl::StrCat("sound: ", Counts(repair->report),
                        "; nothing was changed\n");
    return ExitStatus::kDone;
  }
  PrintDamages(repair->report, "", out);
  out << absl::StrCat("repaired: ", Counts(repair->report),
                      " were kept; the damaged file is now ",
                      Printable(repair->damaged_file), "\n");
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> Backup(const Arguments& arguments, std::ostream& out,
                                  std::ostream& err) {
  const auto backup = server::BackupState(arguments.directory, arguments.file);
  if (!backup.ok()) return backup.status();
  if (backup->report.is_sound()) {
    out << absl::StrCat("copied: ", Counts(backup->report), "\n");
    return ExitStatus::kDone;
  }
  PrintDamages(backup->report, "portreeve: state: ", err);
  err << absl::StrCat("portreeve: state: it is damaged, and was not copied; ",
                      "portreeve state repair ", Printable(arguments.directory),
                      " comes first\n");
  return ExitStatus::kDamaged;
}

ExitStatus RunState(const Arguments& arguments, std::ostream& out,
                    std::ostream& err) {
  const auto& action = arguments.action;
  auto* const run = action == "check"    ? &Check
                    : action == "dump"   ? &Dump
                    : action == "repair" ? &Repair
                                         : &Backup;
  absl::StatusOr<ExitStatus> status = run(arguments, out, err);
  out.flush();
  if (status.ok() && !out) {
    status = absl::UnknownError("the output cannot be written");
  }
  if (status.ok()) return *status;
  err << absl::StrCat("portreeve: state: ", StateErrorText(status.status()),
                      "\n");
  return absl::IsDataLoss(status.status()) ? ExitStatus::kUnreadable
                                           : ExitStatus::kFailed;
}

absl::Status CheckAction(const std::string& text) {
  for (const std::string& action : kActions) {
    if (text == action) return absl::OkStatus();
  }
  const std::string nearest = Nearest(text, kActions);
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "': expected check, dump, repair or backup",
                   nearest.empty() ? "" : "; did you mean ", nearest,
                   nearest.empty() ? "" : "?"));
}

}  // namespace

Verb AddState(CLI::App& app, const Environment& environment) {
  CLI::App* verb = app.add_subcommand("state", kStateHelp);
  auto arguments = std::make_shared<Arguments>();
  AddOption(*verb, "ACTION", "check|dump|repair|backup",
            "check, dump, repair or backup",
            [arguments](const std::string& text) {
              arguments->action = text;
              return CheckAction(text);
            })
      ->required();
  const auto path_into = [&environment](std::string& target) {
    return [&target, base = environment.directory](const std::string& text) {
      if (text.empty()) return absl::InvalidArgumentError("expected a path");
      target = Absolute(text, base);
      return absl::OkStatus();
    };
  };
  AddOption(*verb, "DIR", "", "The directory of the state",
            path_into(arguments->directory))
      ->required();
  AddOption(*verb, "FILE", "", "backup: the copy, for its owner alone",
            path_into(arguments->file));
  verb->callback([arguments] {
    const bool is_backup = arguments->action == "backup";
    if (is_backup && arguments->file.empty()) {
      RefuseUsage("backup needs a FILE to copy to");
    }
    if (!is_backup && !arguments->file.empty()) {
      RefuseUsage("a FILE is for backup alone");
    }
  });
  return {verb, nullptr, [arguments](std::ostream& out, std::ostream& err) {
            return RunState(*arguments, out, err);
          }};
}

}  // namespace portreeve::cli
