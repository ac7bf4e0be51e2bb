// FrozenServer: what a server is at a moment, for another process to go on with
// (AnyServer::Freeze() and Adopt()).
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_SERVE_FROZEN_SERVER_H_
#define PORTREEVE_LIB_SERVE_FROZEN_SERVER_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "lib/base/time_source.h"
#include "lib/net/address.h"
#include "lib/serve/accept_policy.h"
#include "lib/serve/server_options.h"
#include "lib/serve/unix_socket_file.h"

namespace portreeve {

struct FrozenListeningSocket {
  // It is not owned, and only Freeze() sets it; -1: the socket is closed.
  int descriptor = -1;
  AnyAddress address;
  int effective_backlog = 0;
  // Its file, where it has made one and a close is to remove it.
  std::optional<UnixSocketFile::Identity> file;
  // Whether a close shuts it down, or leaves it to others who have copies.
  bool shut_down = true;

  friend bool operator==(const FrozenListeningSocket&,
                         const FrozenListeningSocket&) = default;
};

// What an Acceptor is.  Times are those of the machine's steady clock, which
// all its processes have.
struct FrozenAcceptor {
  // What was reported of an error of accept(2).
  struct Error {
    int error_number = 0;
    std::optional<TimePoint> reported;
    int64_t count = 0;  // Since then.

    friend bool operator==(const Error&, const Error&) = default;
  };

  FrozenListeningSocket socket;
  AcceptPolicy::Limits limits{1, 1};
  bool drop_incoming = false;
  bool accepting = true;  // What SetEnabled() was called with.
  int64_t limit_reached_total = 0;
  int64_t accept_errors_total = 0;
  std::optional<TimePoint> limit_reported;
  std::vector<Error> errors;  // In the order of their numbers.

  friend bool operator==(const FrozenAcceptor&,
                         const FrozenAcceptor&) = default;
};

// Its connections are no part of it, and their bytes are in no total.
struct FrozenServer {
  FrozenAcceptor acceptor;
  int64_t accepted_total = 0;
  int64_t dropped_total = 0;
  int64_t handler_errors_total = 0;
  int64_t out_of_memory_total = 0;
  // Of connections whose descriptor is closed.
  int64_t closed_bytes_received = 0;
  int64_t closed_bytes_sent = 0;
  // Why it is closed; nothing: it is not.  And what its observer was told of
  // that.
  std::optional<CloseCause> close_cause;
  bool close_finished = false;
  bool handlers_determined = false;

  friend bool operator==(const FrozenServer&, const FrozenServer&) = default;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_SERVE_FROZEN_SERVER_H_
