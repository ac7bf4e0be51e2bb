// The one map from the daemon's errors to gRPC's.
#ifndef PORTREEVE_SERVER_CALLS_GRPC_STATUS_H_
#define PORTREEVE_SERVER_CALLS_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace portreeve::server {

// Gives `status` with a google.rpc.Status for the trailer: one ErrorInfo and,
// for INVALID_ARGUMENT and for errors that name a field, a BadRequest.  Texts
// are clipped, since gRPC clients take no more than 8 KiB of trailers.
// Threads: any.
grpc::Status ToGrpc(const absl::Status& status);

// Does the same for a call that must have an answer: where there is no memory
// for words, it gives INTERNAL without any.  It never throws.
grpc::Status ToGrpcOrLess(const absl::Status& status);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_GRPC_STATUS_H_
