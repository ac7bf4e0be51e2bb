// Flags whose text is parsed by a function.
#ifndef PORTREEVE_CLIENT_CLI_OPTION_H_
#define PORTREEVE_CLIENT_CLI_OPTION_H_

#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace portreeve::cli {

// Takes the text of a flag; its error is a usage error that names the flag.
using Take = std::function<absl::Status(const std::string&)>;

// Adds a flag, or a positional argument where `name` has no dashes.  `type` is
// what --help calls its value.
CLI::Option* AddOption(CLI::App& app, const std::string& name,
                       const std::string& type, const std::string& help,
                       Take take);

// Does the same for a flag that may be given several times, with one value
// each.
CLI::Option* AddRepeatedOption(CLI::App& app, const std::string& name,
                               const std::string& type, const std::string& help,
                               Take take);

// Refuses what was parsed, as wrong usage.  Callbacks of a subcommand may call
// it.
[[noreturn]] void RefuseUsage(const std::string& why);

// Stores what `parse` makes of the text in `target`, which must outlive the
// App.
template <typename Target, typename Parse>
Take Into(Target& target, Parse parse) {
  return [&target, parse](const std::string& text) {
    auto value = parse(text);
    if (!value.ok()) return value.status();
    target = *std::move(value);
    return absl::OkStatus();
  };
}

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_OPTION_H_
