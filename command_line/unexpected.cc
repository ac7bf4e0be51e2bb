#include "command_line/unexpected.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "command_line/nearest.h"

namespace portreeve {
namespace {

bool IsFlag(const std::string& word) {
  return word.size() > 1 && word.front() == '-';
}

// Those of the program, and of the verb that was given.
std::vector<std::string> FlagsOf(const CLI::App& app) {
  std::vector<const CLI::App*> apps = {&app};
  for (const CLI::App* verb : app.get_subcommands()) apps.push_back(verb);
  std::vector<std::string> flags;
  for (const CLI::App* one : apps) {
    for (const CLI::Option* option : one->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        flags.push_back("--" + name);
      }
    }
  }
  return flags;
}

std::vector<std::string> VerbsOf(const CLI::App& app) {
  std::vector<std::string> verbs;
  for (const CLI::App* verb : app.get_subcommands({})) {
    verbs.push_back(verb->get_name());
  }
  return verbs;
}

std::string DidYouMean(const std::string& word,
                       const std::vector<std::string>& words) {
  const std::string nearest = Nearest(word, words);
  return nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?");
}

}  // namespace

std::string UnexpectedText(const CLI::App& app) {
  const std::vector<std::string> words = app.remaining(true);
  const auto flag = std::find_if(words.begin(), words.end(), IsFlag);
  if (flag != words.end()) {
    const std::string name = flag->substr(0, flag->find('='));
    return absl::StrCat("there is no flag ", name,
                        DidYouMean(name, FlagsOf(app)));
  }
  if (words.empty()) return "";
  const std::vector<std::string> verbs = VerbsOf(app);
  if (!verbs.empty() && app.get_subcommands().empty()) {
    return absl::StrCat("'", words.front(), "' is no verb",
                        DidYouMean(words.front(), verbs));
  }
  const char* are = words.size() == 1 ? "was" : "were";
  return absl::StrCat("'", absl::StrJoin(words, "' '"), "' ", are,
                      " not expected");
}

}  // namespace portreeve
