#include "client/cli/help.h"

#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "client/cli/exit_status.h"

namespace portreeve::cli {
namespace {

constexpr size_t kWidth = 80;
constexpr size_t kIndent = 6;

// `text` in lines of at most kWidth, each after `indent` blanks.
std::string Wrap(const std::string& text, size_t indent) {
  std::istringstream words(text);
  std::string wrapped;
  std::string line;
  for (std::string word; words >> word;) {
    if (!line.empty() && indent + line.size() + 1 + word.size() > kWidth) {
      absl::StrAppend(&wrapped, std::string(indent, ' '), line, "\n");
      line.clear();
    }
    absl::StrAppend(&line, line.empty() ? "" : " ", word);
  }
  return absl::StrCat(wrapped, std::string(indent, ' '), line, "\n");
}

// The first sentence: verbs are told in full under their own --help.
std::string FirstSentence(const std::string& text) {
  const size_t end = text.find_first_of(".\n");
  return text.substr(0, end);
}

class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override {
    return absl::StrReplaceAll(
        CLI::Formatter::make_help(app, name, mode),
        {{"\n\n\n", "\n\n"}, {"\nSubcommands:\n", "\nVerbs:\n"}});
  }

  std::string make_subcommand(const CLI::App* verb) const override {
    return absl::StrFormat("  %-14s  %s\n", verb->get_name(),
                           FirstSentence(verb->get_description()));
  }

  std::string make_option(const CLI::Option* option,
                          bool is_positional) const override {
    const std::string name = option->get_name(is_positional, true);
    const std::string type = is_positional ? "" : option->get_type_name();
    return absl::StrCat("  ", name, type.empty() ? "" : " ", type, "\n",
                        Wrap(option->get_description(), kIndent));
  }

  std::string make_usage(const CLI::App* app, std::string name) const override {
    std::string usage = absl::StrCat("Usage: ", name);
    const bool is_verb = app->get_parent() != nullptr;
    if (!is_verb) return usage + " [OPTIONS] VERB ...\n";
    usage = absl::StrCat("\nUsage: portreeve ", app->get_name());
    for (const CLI::Option* option : app->get_options()) {
      if (!option->get_positional()) continue;
      const std::string argument = option->get_name(true);
      absl::StrAppend(&usage, " ",
                      option->get_required() ? argument : "[" + argument + "]");
    }
    return usage + " [OPTIONS]\n";
  }

  std::string make_footer(const CLI::App* app) const override {
    const CLI::App* parent = app->get_parent();
    if (parent == nullptr) return absl::StrCat("\n", app->get_footer());
    // The options of all verbs, but for those that each has itself.
    const std::vector<const CLI::Option*> options =
        parent->get_options([](const CLI::Option* option) {
          return !absl::StrContains(option->get_name(false, true), "--help") &&
                 !absl::StrContains(option->get_name(false, true), "--version");
        });
    return absl::StrCat(make_group("Options of every verb", false, options),
                        "\n", app->get_footer());
  }
};

}  // namespace

void SetHelp(CLI::App& app) {
  app.formatter(std::make_shared<HelpFormatter>());
  app.footer(kExitStatusHelp);
  app.set_help_flag("-h,--help", "Print this and exit");
}

}  // namespace portreeve::cli
