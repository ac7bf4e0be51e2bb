#include "command_line/completion.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace portreeve {
namespace {

using Rows = std::vector<std::pair<std::string, std::string>>;

// Gives `text` as one word of bash.
std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string Table(const std::string& name, const Rows& rows) {
  std::string bash = absl::StrCat("declare -gA ", name, "=(\n");
  for (const auto& [key, value] : rows) {
    absl::StrAppend(&bash, "  [", Quoted(key), "]=", Quoted(value), "\n");
  }
  return bash + ")\n";
}

std::vector<std::string> NamesOf(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) {
    names.push_back("-" + name);
  }
  for (const std::string& name : option.get_lnames()) {
    names.push_back("--" + name);
  }
  return names;
}

class Tables {
 public:
  explicit Tables(const std::map<std::string, std::vector<std::string>>& values)
      : values_(values) {}

  // Adds what `app`, which they name `key`, takes.
  void Add(const CLI::App& app, const std::string& key) {
    std::vector<std::string> flags;
    std::vector<std::string> arguments;
    for (const CLI::Option* option : app.get_options()) {
      // That of the program does for its verbs, too.
      if (app.get_parent() && option == app.get_help_ptr()) continue;
      for (const std::string& name : NamesOf(*option)) {
        flags.push_back(name);
        if (option->get_items_expected_max() > 0) {
          types_.emplace_back(absl::StrCat(key, " ", name), TypeOf(*option));
        }
      }
      if (option->get_positional()) arguments.push_back(TypeOf(*option));
    }
    flags_.emplace_back(key, absl::StrJoin(flags, " "));
    arguments_.emplace_back(key, absl::StrJoin(arguments, " "));
  }

  std::string Text(const std::string& prefix) const {
    return absl::StrCat(Table(prefix + "_flags", flags_),
                        Table(prefix + "_values", types_),
                        Table(prefix + "_arguments", arguments_));
  }

 private:
  // A positional argument without a type is what its name says.
  std::string TypeOf(const CLI::Option& option) const {
    std::string type = option.get_type_name();
    if (type.empty()) type = option.get_name(true);
    const auto found = values_.find(type);
    return found == values_.end() ? type : absl::StrJoin(found->second, "|");
  }

  const std::map<std::string, std::vector<std::string>>& values_;
  Rows flags_;
  Rows types_;
  Rows arguments_;
};

}  // namespace

std::string CompletionTables(
    const CLI::App& app,
    const std::map<std::string, std::vector<std::string>>& values) {
  const std::string prefix = "_" + app.get_name();
  Tables tables(values);
  tables.Add(app, ".");
  std::vector<std::string> verbs;
  for (const CLI::App* verb : app.get_subcommands({})) {
    verbs.push_back(verb->get_name());
    tables.Add(*verb, verb->get_name());
  }
  return absl::StrCat("declare -g ", prefix,
                      "_verbs=", Quoted(absl::StrJoin(verbs, " ")), "\n",
                      tables.Text(prefix));
}

}  // namespace portreeve
