// How the daemon starts its next process, and how that finds its way back.
#ifndef PORTREEVE_SERVER_DAEMON_SUCCESSOR_H_
#define PORTREEVE_SERVER_DAEMON_SUCCESSOR_H_

#include <functional>
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
  enum Kind {
    kStarted,  // By this process.
    kGuest,    // It has come by itself.
  };
  HandoverChannel channel;
  HandoverPeer peer;
  Kind kind = kStarted;
};

// Whose child a process is.
enum class Parentage {
  kChild,    // Of this one, which learns how it ends.
  kSibling,  // Of this one's parent, which does.
};

// Starts `program`, with nothing open but the first three descriptors and the
// channel.  `wait` waits until a descriptor can be read, or gives up: then the
// new process, which is not the program yet, is killed, as one that is stopped,
// or waits for the file of the program.
// Errors: those of clone(2), execve(2) and HandoverChannel::Open();
// DEADLINE_EXCEEDED where `wait` has given up.
absl::StatusOr<Successor> StartSuccessor(const Program& program,
                                         Parentage parentage,
                                         const std::function<bool(int)>& wait);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_SUCCESSOR_H_
