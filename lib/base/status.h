// The library's vocabulary of errors: absl::Status with typed details.
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_BASE_STATUS_H_
#define PORTREEVE_LIB_BASE_STATUS_H_

#include <boost/system/error_code.hpp>
#include <exception>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace portreeve {

// What went wrong, for programs.  The names are those of the reasons in the
// protos.
enum class Reason {
  kNone,
  kAddressInUse,
  kBindNotPermitted,
  kAddressNotAvailable,
  kInvalidField,
  kNotASocket,
  kNoSuchPath,
  kConnectTimeout,
  kConnectInterrupted,
  kConnectRefused,
  kNoRoute,
  kDnsFailure,
  kFdLimit,
  kOutsidePolicy,
  kSelfConnect,
  kOther,  // An errno that has no name of its own here.
};

// Gives the name in capitals, such as "ADDRESS_IN_USE"; "" for kNone,
// "SYSTEM_ERROR" for kOther.
absl::string_view ReasonName(Reason reason);

// What a Status of this library carries beside its code and message.
struct ErrorDetail {
  Reason reason = Reason::kNone;
  int error_number = 0;  // errno, 0 if no system call failed.
  std::string address;   // As the CLI writes it ("tcp:127.0.0.1:80"), or "".
  std::string field;     // Path of the wrong argument, or "".
};

absl::Status MakeError(absl::StatusCode code, const ErrorDetail& detail,
                       absl::string_view message);

// Makes an INVALID_ARGUMENT about `field` (a path such as "max_connections").
absl::Status InvalidField(absl::string_view field, absl::string_view message);

// Makes a Status of an errno; there is no other such map.  `operation` is the
// failed call ("bind"), `address` what it was about.  The message is "OPERATION
// ADDRESS: text".
absl::Status ErrnoError(int error_number, absl::string_view operation,
                        absl::string_view address);

ErrorDetail DetailOf(const absl::Status& status);

// What coroutines throw when they fail: so the error reaches whoever awaits
// them, or else the monitor, and cannot be overlooked.
class StatusError : public std::exception {
 public:
  explicit StatusError(absl::Status status);
  const char* what() const noexcept override { return what_.c_str(); }
  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
  std::string what_;
};

// Gives the Status in a StatusError, CANCELLED for operation_aborted, and
// UNKNOWN with the text for anything else.
absl::Status StatusOf(std::exception_ptr error);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_STATUS_H_
