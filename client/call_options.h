// What every call of a Client takes.
#ifndef PORTREEVE_CLIENT_CALL_OPTIONS_H_
#define PORTREEVE_CLIENT_CALL_OPTIONS_H_

#include "absl/time/time.h"

namespace portreeve::client {

class Canceller;

struct CallOptions {
  // How long the call may take, connecting included; then it ends with
  // DEADLINE_EXCEEDED, and what the daemon has begun goes on.  Default: as long
  // as it takes.
  absl::Duration timeout = absl::InfiniteDuration();

  // What ends the call early; see client/canceller.h.  Default: nothing.
  Canceller* canceller = nullptr;
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_CALL_OPTIONS_H_
