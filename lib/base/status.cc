#include "lib/base/status.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/monitor.h"
#include "lib/base/task_scope.h"

namespace portreeve {
namespace {

constexpr char kReasonUrl[] = "portreeve/reason";
constexpr char kErrnoUrl[] = "portreeve/errno";
constexpr char kAddressUrl[] = "portreeve/address";
constexpr char kFieldUrl[] = "portreeve/field";

int PayloadInt(const absl::Status& status, const char* url) {
  int value = 0;
  if (auto payload = status.GetPayload(url)) {
    (void)absl::SimpleAtoi(std::string(*payload), &value);
  }
  return value;
}

std::string PayloadText(const absl::Status& status, const char* url) {
  auto payload = status.GetPayload(url);
  return payload ? std::string(*payload) : std::string();
}

struct ErrnoMeaning {
  absl::StatusCode code;
  Reason reason;
};

ErrnoMeaning MeaningOf(int error_number, absl::string_view operation) {
  using Code = absl::StatusCode;
  const bool connecting = operation == "connect";
  switch (error_number) {
    case EADDRINUSE:
      return {Code::kFailedPrecondition, Reason::kAddressInUse};
    case EACCES:
    case EPERM:
    case EROFS:
      return {Code::kPermissionDenied,
              connecting ? Reason::kOther : Reason::kBindNotPermitted};
    case EAFNOSUPPORT:  // The machine has no IPv6.
    case EADDRNOTAVAIL:
      // A connect for which no source port is left fails with it, too.
      return connecting ? ErrnoMeaning{Code::kUnavailable, Reason::kNoRoute}
                        : ErrnoMeaning{Code::kInvalidArgument,
                                       Reason::kAddressNotAvailable};
    case ENODEV:
      return {Code::kInvalidArgument, Reason::kInvalidField};
    case ENOTSOCK:
      return {Code::kFailedPrecondition, Reason::kNotASocket};
    case ECONNREFUSED:
    case ECONNRESET:
    case EAGAIN:  // connect() to a unix socket whose backlog is full.
      return {Code::kUnavailable, Reason::kConnectRefused};
    case ENOENT:
    case ENOTDIR:
      return connecting
                 ? ErrnoMeaning{Code::kUnavailable, Reason::kConnectRefused}
                 : ErrnoMeaning{Code::kFailedPrecondition, Reason::kNoSuchPath};
    case ENAMETOOLONG:
    case ELOOP:
      return connecting
                 ? ErrnoMeaning{Code::kUnavailable, Reason::kConnectRefused}
                 : ErrnoMeaning{Code::kInvalidArgument, Reason::kInvalidField};
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
      return {Code::kUnavailable, Reason::kNoRoute};
    case ETIMEDOUT:
      return {Code::kDeadlineExceeded, Reason::kConnectTimeout};
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return {Code::kResourceExhausted, Reason::kFdLimit};
    default:
      return {absl::ErrnoToStatusCode(error_number), Reason::kOther};
  }
}

}  // namespace

absl::string_view ReasonName(Reason reason) {
  switch (reason) {
    case Reason::kNone:
      return "";
    case Reason::kAddressInUse:
      return "ADDRESS_IN_USE";
    case Reason::kBindNotPermitted:
      return "BIND_NOT_PERMITTED";
    case Reason::kAddressNotAvailable:
      return "ADDRESS_NOT_AVAILABLE";
    case Reason::kInvalidField:
      return "INVALID_FIELD";
    case Reason::kNotASocket:
      return "NOT_A_SOCKET";
    case Reason::kNoSuchPath:
      return "NO_SUCH_PATH";
    case Reason::kConnectTimeout:
      return "CONNECT_TIMEOUT";
    case Reason::kConnectInterrupted:
      return "CONNECT_INTERRUPTED";
    case Reason::kConnectRefused:
      return "CONNECT_REFUSED";
    case Reason::kNoRoute:
      return "NO_ROUTE";
    case Reason::kDnsFailure:
      return "DNS_FAILURE";
    case Reason::kFdLimit:
      return "FD_LIMIT";
    case Reason::kOutsidePolicy:
      return "OUTSIDE_POLICY";
    case Reason::kSelfConnect:
      return "SELF_CONNECT";
    case Reason::kOther:
      return "SYSTEM_ERROR";
  }
  return "";
}

absl::Status MakeError(absl::StatusCode code, const ErrorDetail& detail,
                       absl::string_view message) {
  absl::Status status(code, message);
  status.SetPayload(kReasonUrl,
                    absl::Cord(absl::StrCat(static_cast<int>(detail.reason))));
  if (detail.error_number != 0) {
    status.SetPayload(kErrnoUrl, absl::Cord(absl::StrCat(detail.error_number)));
  }
  if (!detail.address.empty()) {
    status.SetPayload(kAddressUrl, absl::Cord(detail.address));
  }
  if (!detail.field.empty()) {
    status.SetPayload(kFieldUrl, absl::Cord(detail.field));
  }
  return status;
}

absl::Status InvalidField(absl::string_view field, absl::string_view message) {
  ErrorDetail detail;
  detail.reason = Reason::kInvalidField;
  detail.field = std::string(field);
  return MakeError(absl::StatusCode::kInvalidArgument, detail,
                   absl::StrCat(field, ": ", message));
}

absl::Status ErrnoError(int error_number, absl::string_view operation,
                        absl::string_view address) {
  const ErrnoMeaning meaning = MeaningOf(error_number, operation);
  ErrorDetail detail;
  detail.reason = meaning.reason;
  detail.error_number = error_number;
  detail.address = std::string(address);
  return MakeError(
      meaning.code, detail,
      absl::StrCat(operation, " ", address, ": ",
                   boost::system::error_code(error_number,
                                             boost::system::system_category())
                       .message()));
}

ErrorDetail DetailOf(const absl::Status& status) {
  ErrorDetail detail;
  detail.reason = static_cast<Reason>(PayloadInt(status, kReasonUrl));
  detail.error_number = PayloadInt(status, kErrnoUrl);
  detail.address = PayloadText(status, kAddressUrl);
  detail.field = PayloadText(status, kFieldUrl);
  return detail;
}

StatusError::StatusError(absl::Status status)
    : status_(std::move(status)), what_(status_.message()) {}

absl::Status StatusOf(std::exception_ptr error) {
  if (IsCancelled(error)) return absl::CancelledError("cancelled");
  try {
    std::rethrow_exception(error);
  } catch (const StatusError& e) {
    return e.status();
  } catch (...) {
    return absl::UnknownError(DescribeException(std::current_exception()));
  }
}

}  // namespace portreeve
