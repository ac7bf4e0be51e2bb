#include "client/cli/option.h"

#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <string>
#include <utility>

namespace portreeve::cli {

CLI::Option* AddOption(CLI::App& app, const std::string& name,
                       const std::string& type, const std::string& help,
                       Take take) {
  auto take_all = [name, take = std::move(take)](const CLI::results_t& texts) {
    for (const std::string& text : texts) {
      const absl::Status taken = take(text);
      if (!taken.ok()) {
        throw CLI::ValidationError(name, std::string(taken.message()));
      }
    }
    return true;
  };
  return app.add_option(name, std::move(take_all), help)->type_name(type);
}

CLI::Option* AddRepeatedOption(CLI::App& app, const std::string& name,
                               const std::string& type, const std::string& help,
                               Take take) {
  return AddOption(app, name, type, help, std::move(take))
      ->expected(1, CLI::detail::expected_max_vector_size)
      ->allow_extra_args(false);
}

void RefuseUsage(const std::string& why) { throw CLI::ValidationError(why); }

}  // namespace portreeve::cli
