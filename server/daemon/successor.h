// How the daemon starts its next process, and how that finds its way back.
#ifndef PORTREEVE_SERVER_DAEMON_SUCCESSOR_H_
#define PORTREEVE_SERVER_DAEMON_SUCCESSOR_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "server/daemon/notify.h"
#include "server/handover/handover_channel.h"
#include "server/handover/handover_peer.h"

namespace portreeve::server {

// What a process was started with, for another one to be started so.
struct Program {
  std::string path;  // Absolute; whatever is there when it is started.
  std::vector<std::string> arguments;
  std::vector<std::string> environment;

  // Gives that of this process.  `notify` was taken out of the environment.  It
  // must be called while there is no other thread.
  static Program OfThis(int argc, const char* const* argv,
                        const NotifyVariables& notify);
};

// Where PORTREEVE_HANDOVER_FD says that a channel is: what the process was
// given by the one that hands over to it; nothing where it was started in any
// other way.  It is taken out of the environment, and so must be called while
// there is no other thread.
// Errors: INVALID_ARGUMENT, one line.
absl::StatusOr<std::optional<Descriptor>> TakeHandoverDescriptor();

struct Successor {
  HandoverChannel channel;
  HandoverPeer peer;
};

// Starts `program`, with nothing open but the first three descriptors and the
// channel.
// Errors: those of posix_spawn(3) and HandoverChannel::Open().
absl::StatusOr<Successor> StartSuccessor(const Program& program);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_SUCCESSOR_H_
