#include "server/state/state_errors.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "server/api/errors.h"

namespace portreeve::server {

absl::Status StateUnavailable(absl::string_view message) {
  return ServerError(absl::StatusCode::kUnavailable, "STATE_UNAVAILABLE",
                     message);
}

absl::Status StateUnavailable(int error_number, absl::string_view operation,
                              absl::string_view path) {
  return StateUnavailable(
      absl::StrCat(operation, " ", path, ": ", std::strerror(error_number)));
}

absl::Status StateFull(absl::string_view message) {
  return ServerError(absl::StatusCode::kResourceExhausted, "STATE_FULL",
                     message);
}

absl::Status StateDamaged(absl::string_view message) {
  return ServerError(absl::StatusCode::kDataLoss, "STATE_DAMAGED", message);
}

absl::Status StateForeign(absl::string_view message) {
  return ServerError(absl::StatusCode::kFailedPrecondition, "STATE_FOREIGN",
                     message);
}

absl::Status StateNewer(absl::string_view message) {
  return ServerError(absl::StatusCode::kFailedPrecondition, "STATE_NEWER",
                     message);
}

absl::Status StateInUse(absl::string_view message) {
  return ServerError(absl::StatusCode::kFailedPrecondition, "STATE_IN_USE",
                     message);
}

absl::Status StateNotOurs(absl::string_view message) {
  return ServerError(absl::StatusCode::kPermissionDenied, "STATE_NOT_OURS",
                     message);
}

absl::Status ForClients(const absl::Status& status) {
  if (ReasonOf(status) == "STATE_FULL") return status;
  return StateUnavailable(status.message());
}

}  // namespace portreeve::server
