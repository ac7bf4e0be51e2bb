// Converts between gRPC's types and Abseil's.  For the .cc files of this
// library only.
#ifndef PORTREEVE_CLIENT_GRPC_CALL_H_
#define PORTREEVE_CLIENT_GRPC_CALL_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "client/call_options.h"
#include "client/canceller.h"

namespace portreeve::client {

// Gives the same code and text, with the details that DetailsOf reads.
absl::Status FromGrpc(const grpc::Status& status);

// Sets the deadline of a call that has not started.  While it lives, the
// Canceller of the options ends the call.
class AppliedOptions {
 public:
  // `context` must outlive this.
  AppliedOptions(const CallOptions& options, grpc::ClientContext& context);

 private:
  const CancellerEntry entry_;
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_GRPC_CALL_H_
