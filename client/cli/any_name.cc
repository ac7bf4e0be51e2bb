#include "client/cli/any_name.h"

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/name.h"

namespace portreeve::cli {

bool IsConnectionName(const std::string& text) {
  return absl::StartsWith(text, "connections/");
}

absl::StatusOr<std::string> AnyName(const std::string& text) {
  absl::StatusOr<std::string> name = IsConnectionName(text)
                                         ? client::ConnectionName(text)
                                         : client::ListenerName(text);
  if (name.ok()) return name;
  return absl::InvalidArgumentError(
      absl::StrCat("'", text,
                   "' is no name: expected ID, listeners/ID or "
                   "connections/ID"));
}

}  // namespace portreeve::cli
