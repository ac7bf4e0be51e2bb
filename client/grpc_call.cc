#include "client/grpc_call.h"

#include <string>

#include "absl/time/clock.h"
#include "client/error.h"

namespace portreeve::client {

absl::Status FromGrpc(const grpc::Status& status) {
  // gRPC and Abseil number the codes alike.
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()),
                      status.error_message());
  if (!status.ok()) AttachDetails(status.error_details(), result);
  return result;
}

AppliedOptions::AppliedOptions(const CallOptions& options,
                               grpc::ClientContext& context)
    : entry_(options.canceller, [&context] { context.TryCancel(); }) {
  if (options.timeout != absl::InfiniteDuration()) {
    context.set_deadline(absl::ToChronoTime(absl::Now() + options.timeout));
  }
}

}  // namespace portreeve::client
