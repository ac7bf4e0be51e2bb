#include "server/calls/grpc_status.h"

#include <google/protobuf/any.pb.h>
#include <string.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "lib/base/status.h"
#include "server/api/errors.h"
#include "server/api/utf8.h"

namespace portreeve::server {
namespace {

constexpr char kDomain[] = "portreeve";

google::rpc::ErrorInfo InfoOf(const absl::Status& status) {
  const ErrorDetail detail = DetailOf(status);
  google::rpc::ErrorInfo info;
  info.set_domain(kDomain);
  info.set_reason(ReasonOf(status));
  auto& metadata = *info.mutable_metadata();
  if (detail.error_number != 0) {
    metadata["errno"] = std::to_string(detail.error_number);
    const char* name = strerrorname_np(detail.error_number);
    if (name != nullptr) metadata["errno_name"] = name;
  }
  if (!detail.address.empty()) metadata["address"] = ErrorText(detail.address);
  const std::string step = UpgradeStepOf(status);
  if (!step.empty()) metadata["step"] = step;
  return info;
}

google::rpc::BadRequest BadRequestOf(const absl::Status& status,
                                     const std::string& field) {
  // The message begins with the field, which stands beside it here.
  const absl::string_view description =
      absl::StripPrefix(status.message(), absl::StrCat(field, ": "));
  google::rpc::BadRequest bad_request;
  auto& violation = *bad_request.add_field_violations();
  violation.set_field(field);
  violation.set_description(ErrorText(description));
  return bad_request;
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const std::string message = ErrorText(status.message());
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  details.add_details()->PackFrom(InfoOf(status));
  const std::string field = DetailOf(status).field;
  if (status.code() == absl::StatusCode::kInvalidArgument || !field.empty()) {
    details.add_details()->PackFrom(BadRequestOf(status, field));
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message,
                      details.SerializeAsString());
}

grpc::Status ToGrpcOrLess(const absl::Status& status) {
  try {
    return ToGrpc(status);
  } catch (...) {
    return grpc::Status(grpc::StatusCode::INTERNAL, "");
  }
}

}  // namespace portreeve::server
