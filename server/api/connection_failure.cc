#include "server/api/connection_failure.h"

#include "server/api/utf8.h"

namespace portreeve::server {

ConnectionFailure FailureOf(const absl::Status& why) {
  const ErrorDetail detail = DetailOf(why);
  ConnectionFailure failure;
  if (detail.reason != Reason::kNone) failure.reason = detail.reason;
  failure.message = ErrorText(why.message());
  failure.error_number = detail.error_number;
  return failure;
}

absl::string_view FailureReasonName(Reason reason) {
  if (reason == Reason::kNone || reason == Reason::kOther) return "INTERNAL";
  return ReasonName(reason);
}

v1::ConnectionFailure ToProto(const ConnectionFailure& failure) {
  v1::ConnectionFailure message;
  message.set_reason(std::string(FailureReasonName(failure.reason)));
  message.set_message(failure.message);
  message.set_error_number(failure.error_number);
  return message;
}

}  // namespace portreeve::server
