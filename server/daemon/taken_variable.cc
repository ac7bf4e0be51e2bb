#include "server/daemon/taken_variable.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace portreeve::server {

std::optional<std::string> TakeVariable(const char* name) {
  const char* const value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  std::string taken = value;
  unsetenv(name);
  return taken;
}

absl::Status WrongVariable(const char* variable, absl::string_view value,
                           absl::string_view message) {
  return absl::InvalidArgumentError(
      absl::StrCat(variable, " \"", value, "\": ", message));
}

}  // namespace portreeve::server
