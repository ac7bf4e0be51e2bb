// ConnectionFailure: why a forwarded connection has no upstream
// (proto/portreeve/v1/connection.proto).
#ifndef PORTREEVE_SERVER_API_CONNECTION_FAILURE_H_
#define PORTREEVE_SERVER_API_CONNECTION_FAILURE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "portreeve/v1/connection.pb.h"

namespace portreeve::server {

struct ConnectionFailure {
  Reason reason = Reason::kOther;
  std::string message;  // What a client of Dial would be told: ErrorText().
  int32_t error_number = 0;
};

// Gives the failure that the error `why` is.
ConnectionFailure FailureOf(const absl::Status& why);

// Gives the name of the reason: the one in Dial's errors, and "INTERNAL" for
// what has none.
absl::string_view FailureReasonName(Reason reason);

v1::ConnectionFailure ToProto(const ConnectionFailure& failure);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_CONNECTION_FAILURE_H_
