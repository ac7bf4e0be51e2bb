// The one map from the daemon's errors to gRPC's.
#ifndef PORTREEVE_SERVER_CALLS_GRPC_STATUS_H_
#define PORTREEVE_SERVER_CALLS_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace portreeve::server {

// `status` with a google.rpc.Status in the trailer that it belongs in: one
// ErrorInfo and, for INVALID_ARGUMENT and for what is about a field, a
// BadRequest.  Texts are clipped: gRPC clients take 8 KiB of trailers.  Any
// thread.
grpc::Status ToGrpc(const absl::Status& status);

// The same for a call that must have an answer: where there is no memory for
// words, INTERNAL without any.  Never throws.
grpc::Status ToGrpcOrLess(const absl::Status& status);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_GRPC_STATUS_H_
