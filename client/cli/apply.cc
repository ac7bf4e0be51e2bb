// apply and diff.
#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <memory>
#include <string>

#include "client/cli/apply_run.h"
#include "client/cli/option.h"
#include "client/cli/value.h"
#include "client/cli/verb.h"

namespace portreeve::cli {
namespace {

constexpr char kApplyHelp[] =
    "Makes the listeners what a file says. What is missing, or closed, is\n"
    "created, what differs is updated, and the rest left alone; a line each\n"
    "says which. The daemon is asked first: where it refuses one, nothing\n"
    "changes. No connection is closed, by --prune neither; the address of a\n"
    "listener cannot be changed.\n"
    "\n"
    "A file has listeners as `portreeve export` prints them: `name` and "
    "`spec`\n"
    "as in proto/portreeve/v1/listener.proto, of at most 8 MiB. In YAML each\n"
    "is a document; what has no quotes and is not true, false or null is "
    "text,\n"
    "and anchors, aliases and tags are refused. In JSON and textproto they "
    "are\n"
    "one ListListenersResponse, that is, in a list `listeners`.\n"
    "  $ portreeve export > all.yaml\n"
    "  $ portreeve apply -f all.yaml\n"
    "  listeners/web unchanged\n"
    "  $ portreeve apply -f team.yaml --prune --selector team=blue";

constexpr char kDiffHelp[] =
    "Shows what apply would change. It tells the listeners that are missing "
    "or\n"
    "differ, with the fields in which they do, once the daemon has filled in\n"
    "all defaults. Nothing changes. The exit status is 1 where anything "
    "differs.\n"
    "  $ portreeve diff -f all.yaml\n"
    "  listeners/web differs\n"
    "    modified: spec.max_connections: 10000 -> 100";

constexpr char kPruneHelp[] =
    "Close and delete the listeners that have the labels of --selector and are "
    "not in the file. Their connections live on, and so does, closed, such a "
    "listener until they have ended";

struct Flags {
  ApplyOptions options;
  bool prune = false;
  bool dry_run = false;
};

Verb AddWithFile(CLI::App& app, const Environment& environment,
                 const std::string& name, const std::string& help,
                 ApplyOptions::Mode mode) {
  CLI::App* verb = app.add_subcommand(name, help);
  auto flags = std::make_shared<Flags>();
  flags->options.mode = mode;
  flags->options.source.directory = environment.directory;
  AddOption(*verb, "-f,--file", "FILE",
            "The file; - is stdin. What ends in .json, .textproto, .txtpb or "
            ".pbtxt is that, any other is YAML. Required",
            [flags](const std::string& text) {
              if (text.empty()) {
                return absl::InvalidArgumentError("expected a file");
              }
              flags->options.source.file = text;
              return absl::OkStatus();
            })
      ->required();
  AddOption(*verb, "--format", "yaml|json|textproto",
            "What the file is, whatever its name",
            [flags](const std::string& text) {
              const auto format = ParseFileFormat(text);
              if (format.ok()) flags->options.source.format = *format;
              return format.status();
            });
  verb->add_flag("--prune", flags->prune, kPruneHelp);
  AddRepeatedOption(*verb, "--selector", "KEY=VALUE",
                    "A label of those that --prune may delete; all that are "
                    "given must be there",
                    [flags](const std::string& text) {
                      const auto label = ParseLabel(text);
                      if (label.ok()) flags->options.selector.insert(*label);
                      return label.status();
                    });
  if (mode == ApplyOptions::Mode::kApply) {
    verb->add_flag("--dry-run", flags->dry_run,
                   "Say what would be done, and change nothing");
  }
  verb->callback([flags] {
    if (flags->prune && flags->options.selector.empty()) {
      RefuseUsage(
          "--prune needs a --selector, so that it deletes no more than "
          "was meant");
    }
    if (!flags->prune && !flags->options.selector.empty()) {
      RefuseUsage("--selector is for --prune");
    }
    if (flags->dry_run) flags->options.mode = ApplyOptions::Mode::kDryRun;
  });
  return {verb, [flags](Session& session) {
            return RunApply(flags->options, session);
          }};
}

}  // namespace

Verb AddApply(CLI::App& app, const Environment& environment) {
  return AddWithFile(app, environment, "apply", kApplyHelp,
                     ApplyOptions::Mode::kApply);
}

Verb AddDiff(CLI::App& app, const Environment& environment) {
  return AddWithFile(app, environment, "diff", kDiffHelp,
                     ApplyOptions::Mode::kDiff);
}

}  // namespace portreeve::cli
