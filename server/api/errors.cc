#include "server/api/errors.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace portreeve::server {
namespace {

constexpr char kServerReasonUrl[] = "portreeve/server_reason";
constexpr char kUpgradeStepUrl[] = "portreeve/upgrade_step";

// Gives an error of what a request asks for at `address`, in `field`, which may
// be empty.
absl::Status AboutAddress(absl::StatusCode code, Reason reason,
                          absl::string_view field, absl::string_view address,
                          absl::string_view what) {
  ErrorDetail detail;
  detail.reason = reason;
  detail.address = std::string(address);
  detail.field = std::string(field);
  return MakeError(
      code, detail,
      field.empty() ? std::string(what) : absl::StrCat(field, ": ", what));
}

}  // namespace

absl::Status ServerError(absl::StatusCode code, absl::string_view reason,
                         absl::string_view message) {
  absl::Status status(code, message);
  status.SetPayload(kServerReasonUrl, absl::Cord(reason));
  return status;
}

absl::Status NotFound(absl::string_view name) {
  return ServerError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat(name, ": no such resource"));
}

absl::Status ListenerClosed(absl::string_view name) {
  return ServerError(absl::StatusCode::kFailedPrecondition, "LISTENER_CLOSED",
                     absl::StrCat(name, " is closed"));
}

absl::Status NotRemote(absl::string_view name, absl::string_view what) {
  return ServerError(absl::StatusCode::kFailedPrecondition, "NOT_REMOTE",
                     absl::StrCat(name, " ", what));
}

absl::Status ShuttingDown() {
  return ServerError(absl::StatusCode::kUnavailable, "SHUTTING_DOWN",
                     "the daemon is shutting down");
}

absl::Status Moved() {
  return ServerError(absl::StatusCode::kUnavailable, "MOVED",
                     "the daemon goes on in another process: ask again");
}

absl::Status UpgradeInProgress() {
  return ServerError(absl::StatusCode::kFailedPrecondition,
                     "UPGRADE_IN_PROGRESS",
                     "another upgrade is under way, or the process before this "
                     "one still has connections");
}

absl::Status UpgradeFailed(absl::string_view step, absl::string_view reason) {
  absl::Status status = ServerError(
      absl::StatusCode::kAborted, "UPGRADE_FAILED",
      absl::StrCat("the daemon goes on as it was: ", step, ": ", reason));
  status.SetPayload(kUpgradeStepUrl, absl::Cord(step));
  return status;
}

std::string UpgradeStepOf(const absl::Status& status) {
  const auto step = status.GetPayload(kUpgradeStepUrl);
  return step ? std::string(*step) : "";
}

absl::Status OutsidePolicy(absl::string_view field, absl::string_view address,
                           absl::string_view what) {
  return AboutAddress(absl::StatusCode::kPermissionDenied,
                      Reason::kOutsidePolicy, field, address, what);
}

absl::Status SelfConnect(absl::string_view field, absl::string_view address,
                         absl::string_view what) {
  return AboutAddress(absl::StatusCode::kFailedPrecondition,
                      Reason::kSelfConnect, field, address, what);
}

absl::Status RoleRequired(absl::string_view message) {
  return ServerError(absl::StatusCode::kPermissionDenied, "ROLE_REQUIRED",
                     message);
}

absl::Status HandoverDamaged(absl::string_view message) {
  return ServerError(absl::StatusCode::kDataLoss, "HANDOVER_DAMAGED", message);
}

std::string ReasonOf(const absl::Status& status) {
  if (status.ok()) return "";
  if (auto reason = status.GetPayload(kServerReasonUrl)) {
    return std::string(*reason);
  }
  const Reason reason = DetailOf(status).reason;
  if (reason != Reason::kNone) return std::string(ReasonName(reason));
  return absl::StatusCodeToString(status.code());
}

absl::Status InvalidMessage(absl::string_view message) {
  ErrorDetail detail;
  detail.reason = Reason::kInvalidField;
  return MakeError(absl::StatusCode::kInvalidArgument, detail, message);
}

absl::Status WithFieldPrefix(const absl::Status& status,
                             absl::string_view prefix) {
  ErrorDetail detail = DetailOf(status);
  const bool has_field = !detail.field.empty();
  if (!has_field && status.code() != absl::StatusCode::kInvalidArgument) {
    return status;
  }
  const absl::string_view separator = has_field ? "." : ": ";
  detail.field =
      has_field ? absl::StrCat(prefix, ".", detail.field) : std::string(prefix);
  absl::Status result = MakeError(
      status.code(), detail, absl::StrCat(prefix, separator, status.message()));
  if (auto reason = status.GetPayload(kServerReasonUrl)) {
    result.SetPayload(kServerReasonUrl, *reason);
  }
  return result;
}

}  // namespace portreeve::server
