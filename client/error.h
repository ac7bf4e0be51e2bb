// Why the daemon refused a call, beyond the code and text of an absl::Status.
#ifndef PORTREEVE_CLIENT_ERROR_H_
#define PORTREEVE_CLIENT_ERROR_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace portreeve::client {

// A wrong argument.
struct FieldViolation {
  // The path from the request's root: "spec.where_to_listen.inet.port".
  std::string field;
  // Why, in English.
  std::string description;

  bool operator==(const FieldViolation&) const = default;
};

// What google.rpc.ErrorInfo and google.rpc.BadRequest say.
struct ErrorDetails {
  // In capitals, like "ADDRESS_IN_USE"; empty where the daemon gave none: it
  // was not reached, or gRPC refused by itself.
  std::string reason;
  // It has "errno" in decimal, "errno_name" and "address", each where it
  // applies.
  std::map<std::string, std::string> metadata;
  // The wrong arguments; at least one where the reason is INVALID_FIELD.
  std::vector<FieldViolation> field_violations;

  bool operator==(const ErrorDetails&) const = default;
};

// Gives the details of a status that a Client returned; all are empty where it
// carries none.
ErrorDetails DetailsOf(const absl::Status& status);

// Whether the daemon was not reached, or the connection to it broke: what was
// asked for may or may not have happened.
bool IsUnreachable(const absl::Status& status);

// Whether a stream that had begun and ended with `status` was lost, on the way
// or with its daemon, and may be asked for again: the daemon was not reached,
// shuts down, goes on in another process or has no room at present; or what
// ended it was no daemon, but a proxy, or gRPC itself, which give no reason.  A
// Cancel() and a deadline of the caller's own are no loss, but look like one of
// a proxy's (CANCELLED, DEADLINE_EXCEEDED): the caller knows.
bool IsLost(const absl::Status& status);

// Whether the daemon's process was replaced before it did what was asked for:
// nothing was done, and the process that has taken over answers the same call.
bool HasMoved(const absl::Status& status);

// Makes an error for which IsUnreachable holds.
absl::Status Unreachable(absl::string_view message);

// Attaches `bytes`, a serialized google.rpc.Status, for DetailsOf to read.
// Bytes that are no such message carry no details; a reason of another domain
// than "portreeve" is left out.
void AttachDetails(const std::string& bytes, absl::Status& status);

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_ERROR_H_
