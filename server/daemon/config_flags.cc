#include "server/daemon/config_flags.h"

#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/api/visible_text.h"
#include "server/daemon/regular_file.h"

namespace portreeve::server {
namespace {

absl::Status Wrong(absl::string_view why) {
  return absl::InvalidArgumentError(why);
}

bool TakesValue(const CLI::Option& option) {
  return option.get_items_expected_max() > 0;
}

bool MayBeRepeated(const CLI::Option& option) {
  return option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
}

// Whether it asks for something else than a daemon that runs with the file.
bool IsOfTheCommandLineAlone(const CommandLine& line,
                             const CLI::Option* option) {
  const CLI::App& app = line.app();
  return option == app.get_help_ptr() || option == app.get_option("--config") ||
         option == app.get_option("--version") ||
         option == app.get_option("--takeover");
}

// Gives the line as words of a command line.
std::vector<std::string> WordsOf(const ConfigLine& line, bool takes_value) {
  if (!line.value) return {line.flag};
  if (takes_value) return {line.flag, *line.value};
  return {absl::StrCat(line.flag, "=", *line.value)};
}

// Finds what is wrong with lines, each for itself.
class LineChecker {
 public:
  absl::Status Check(const ConfigLine& line) {
    const CLI::Option* const option = app().get_option_no_throw(line.flag);
    // CLI11 says what of it that it does not know.
    if (option == nullptr) return command_line_.Parse({line.flag});
    if (IsOfTheCommandLineAlone(command_line_, option)) {
      return Wrong(
          absl::StrCat(line.flag, ": it is for the command line only"));
    }
    const bool takes_value = TakesValue(*option);
    if (takes_value ? !line.value : line.value == "") {
      return Wrong(absl::StrCat(line.flag, ": its value is missing"));
    }
    // A value is text to CLI11, but not that of a flag which needs none.
    if (!takes_value) {
      if (auto s = command_line_.Parse(WordsOf(line, false)); !s.ok()) return s;
    }
    if (MayBeRepeated(*option)) return absl::OkStatus();
    const auto [first, is_new] = first_.emplace(option, line.number);
    if (is_new) return absl::OkStatus();
    return Wrong(absl::StrCat(line.flag, ": it is there already, in line ",
                              first->second));
  }

 private:
  const CLI::App& app() const { return command_line_.app(); }

  CommandLine command_line_;
  // The lines of flags that may not be repeated.
  std::map<const CLI::Option*, int> first_;
};

}  // namespace

absl::StatusOr<ConfigFlags> ConfigFlags::Read(const std::string& path,
                                              const CommandLine& given) {
  const auto about_file = [&path](absl::string_view why) {
    return Wrong(absl::StrCat("--config \"", path, "\": ", why));
  };
  const auto text = ReadRegularFile(path, kMaxConfigBytes);
  if (!text.ok()) return about_file(text.status().message());
  if (text->size() > kMaxConfigBytes) {
    return about_file(
        absl::StrCat("it has more than ", kMaxConfigBytes, " bytes"));
  }
  auto lines = ParseConfig(*text);
  if (!lines.ok()) {
    return Wrong(
        absl::StrCat(path, ":", EscapeInvisible(lines.status().message())));
  }
  ConfigFlags flags;
  flags.path_ = path;
  LineChecker checker;
  for (ConfigLine& line : *lines) {
    if (auto s = checker.Check(line); !s.ok()) {
      return Wrong(
          absl::StrCat(flags.Place(line), EscapeInvisible(s.message())));
    }
    if (!given.Has(line.flag)) flags.lines_.push_back(std::move(line));
  }
  return flags;
}

std::vector<std::string> ConfigFlags::Words() const {
  const CommandLine command_line;
  std::vector<std::string> words;
  for (const ConfigLine& line : lines_) {
    const CLI::Option* const option = command_line.app().get_option(line.flag);
    for (std::string& word : WordsOf(line, TakesValue(*option))) {
      words.push_back(std::move(word));
    }
  }
  return words;
}

std::string ConfigFlags::PlaceOf(const std::string& flag,
                                 const std::string& value) const {
  for (const ConfigLine& line : lines_) {
    if (line.flag == flag && line.value == value) return Place(line);
  }
  return "";
}

std::string ConfigFlags::PlaceOf(const std::string& flag) const {
  for (const ConfigLine& line : lines_) {
    if (line.flag == flag) return Place(line);
  }
  return "";
}

std::string ConfigFlags::Place(const ConfigLine& line) const {
  return absl::StrCat(path_, ":", line.number, ": ");
}

}  // namespace portreeve::server
