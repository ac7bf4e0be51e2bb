// The errors that the daemon adds to the library's vocabulary
// (lib/base/status.h).
#ifndef PORTREEVE_SERVER_API_ERRORS_H_
#define PORTREEVE_SERVER_API_ERRORS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace portreeve::server {

// An error whose reason, one of API.md's ("LISTENER_CLOSED"), the library does
// not know.
absl::Status ServerError(absl::StatusCode code, absl::string_view reason,
                         absl::string_view message);

// NOT_FOUND / NOT_FOUND about the resource `name`.
absl::Status NotFound(absl::string_view name);

// FAILED_PRECONDITION / NOT_REMOTE: "NAME WHAT".
absl::Status NotRemote(absl::string_view name, absl::string_view what);

// UNAVAILABLE / SHUTTING_DOWN.
absl::Status ShuttingDown();

// PERMISSION_DENIED / OUTSIDE_POLICY; `what` says what is forbidden, and by
// which part of the policy.  `field` is a path such as "inet.port", or empty;
// `address` is as the CLI writes it.
absl::Status OutsidePolicy(absl::string_view field, absl::string_view address,
                           absl::string_view what);

// FAILED_PRECONDITION / SELF_CONNECT; `what` says how the daemon would reach
// itself.  `field` and `address` are as those of OutsidePolicy().
absl::Status SelfConnect(absl::string_view field, absl::string_view address,
                         absl::string_view what);

// PERMISSION_DENIED / ROLE_REQUIRED.
absl::Status RoleRequired(absl::string_view message);

// The reason for programs, of this file or of the library; the name of the code
// where there is none.  "" for an OK status.
std::string ReasonOf(const absl::Status& status);

// INVALID_FIELD about a whole message; WithFieldPrefix() says which.
absl::Status InvalidMessage(absl::string_view message);

// `status` with `prefix` before the field that it is about, which gives the
// path from the request's root.  An INVALID_ARGUMENT without a field is about
// `prefix` itself; other errors are unchanged.
absl::Status WithFieldPrefix(const absl::Status& status,
                             absl::string_view prefix);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_ERRORS_H_
