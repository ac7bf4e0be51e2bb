// What every call of a Client takes.
#ifndef PORTREEVE_CLIENT_CALL_OPTIONS_H_
#define PORTREEVE_CLIENT_CALL_OPTIONS_H_

#include "absl/time/time.h"

namespace portreeve::client {

struct CallOptions {
  // How long the call may take, connecting included; then it ends with
  // DEADLINE_EXCEEDED, and what the daemon has begun goes on.  Default: as long
  // as it takes.
  absl::Duration timeout = absl::InfiniteDuration();
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_CALL_OPTIONS_H_
