// Which calls are made once more where an upgrade of the daemon has crossed
// them. For the .cc files of this library only.
#ifndef PORTREEVE_CLIENT_REPEAT_H_
#define PORTREEVE_CLIENT_REPEAT_H_

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "client/call_options.h"

namespace portreeve::client {

enum class Repeat {
  kNever,
  // Where the daemon says that nothing was done.
  kIfNothingWasDone,
  // Where gRPC has ended it, too, which says nothing of the daemon: for what
  // does no harm when it is done twice.
  kIfItWasLost,
};

// Whether a call that has ended with `status` is to be made once more.  What
// the caller has cancelled is not.
bool ShallRepeat(Repeat repeat, const absl::Status& status,
                 const CallOptions& options);

// Whether to attach a connection that moves again, where that has failed with
// `status`: while one process takes the place of another.
bool MayAttachAgain(const absl::Status& status);

// Makes `call`, which is given the options, and gives a StatusOr: once, or
// twice if need be.
template <typename Call>
auto Repeated(Repeat repeat, const CallOptions& options, Call call) {
  const absl::Time until = absl::Now() + options.timeout;
  auto result = call(options);
  if (!ShallRepeat(repeat, result.status(), options)) return result;
  CallOptions rest = options;
  rest.timeout = until - absl::Now();
  return call(rest);
}

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_REPEAT_H_
