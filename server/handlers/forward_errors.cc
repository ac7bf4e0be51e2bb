#include "server/handlers/forward_errors.h"

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace portreeve::server {

absl::Status LedBackError(const std::string& address) {
  ErrorDetail detail;
  detail.reason = Reason::kSelfConnect;
  detail.address = address;
  return MakeError(
      absl::StatusCode::kFailedPrecondition, detail,
      absl::StrCat("connect ", address,
                   ": it leads back to a listener that the client has come "
                   "through"));
}

absl::Status FullBacklogError(const std::string& address) {
  ErrorDetail detail;
  detail.reason = Reason::kConnectTimeout;
  detail.error_number = EAGAIN;  // That of connect(2).
  detail.address = address;
  return MakeError(absl::StatusCode::kDeadlineExceeded, detail,
                   absl::StrCat("connection attempt timeout ", address,
                                ": the backlog is full"));
}

absl::Status NoAnswerError(const WhereToConnect<Inet>& where) {
  ErrorDetail detail;
  detail.reason = Reason::kDnsFailure;
  detail.address = ToString(where);
  return MakeError(absl::StatusCode::kDeadlineExceeded, detail,
                   absl::StrCat("resolve ", where.host,
                                ": no answer within the connect timeout"));
}

}  // namespace portreeve::server
