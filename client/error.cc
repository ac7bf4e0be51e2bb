#include "client/error.h"

#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace portreeve::client {
namespace {

constexpr char kPayloadUrl[] = "type.googleapis.com/google.rpc.Status";
constexpr char kDomain[] = "portreeve";

}  // namespace

ErrorDetails DetailsOf(const absl::Status& status) {
  ErrorDetails details;
  const auto payload = status.GetPayload(kPayloadUrl);
  google::rpc::Status rich;
  if (!payload.has_value() || !rich.ParseFromString(std::string(*payload))) {
    return details;
  }
  for (const google::protobuf::Any& any : rich.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad_request;
    if (any.UnpackTo(&info) && info.domain() == kDomain) {
      details.reason = info.reason();
      details.metadata = {info.metadata().begin(), info.metadata().end()};
    } else if (any.UnpackTo(&bad_request)) {
      for (const auto& violation : bad_request.field_violations()) {
        details.field_violations.push_back(
            {violation.field(), violation.description()});
      }
    }
  }
  return details;
}

bool IsUnreachable(const absl::Status& status) {
  return absl::IsUnavailable(status) && DetailsOf(status).reason.empty();
}

bool IsLost(const absl::Status& status) {
  const std::string reason = DetailsOf(status).reason;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return reason.empty() || reason == "SHUTTING_DOWN" || reason == "MOVED";
    case absl::StatusCode::kResourceExhausted:
      return reason == "OVERLOADED";
    // A stream that a proxy has cut off ends in one of these ways.
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
      return reason.empty();
    default:
      return false;
  }
}

bool HasMoved(const absl::Status& status) {
  return absl::IsUnavailable(status) && DetailsOf(status).reason == "MOVED";
}

absl::Status Unreachable(absl::string_view message) {
  return absl::UnavailableError(message);
}

void AttachDetails(const std::string& bytes, absl::Status& status) {
  if (!bytes.empty()) status.SetPayload(kPayloadUrl, absl::Cord(bytes));
}

}  // namespace portreeve::client
