#include "client/repeat.h"

#include "client/canceller.h"
#include "client/error.h"

namespace portreeve::client {
namespace {

// Whether gRPC has ended the call, as it may where the server goes.
bool IsOfGrpc(const absl::Status& status) {
  return absl::IsCancelled(status) && DetailsOf(status).reason.empty();
}

}  // namespace

bool ShallRepeat(Repeat repeat, const absl::Status& status,
                 const CallOptions& options) {
  if (repeat == Repeat::kNever) return false;
  if (options.canceller != nullptr && options.canceller->is_cancelled()) {
    return false;
  }
  return HasMoved(status) ||
         (repeat == Repeat::kIfItWasLost && IsOfGrpc(status));
}

bool MayAttachAgain(const absl::Status& status) {
  return IsUnreachable(status) || HasMoved(status) || IsOfGrpc(status);
}

}  // namespace portreeve::client
