// The sockets that whoever has started the daemon (systemd) passes on, by
// sd_listen_fds(3)'s protocol.
#ifndef PORTREEVE_SERVER_DAEMON_INHERITED_H_
#define PORTREEVE_SERVER_DAEMON_INHERITED_H_

#include <sys/types.h>

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "lib/net/address.h"
#include "server/daemon/flags.h"
#include "server/registry/given_sockets.h"

namespace portreeve::server {

struct ListenVariables {
  std::optional<std::string> pid;    // LISTEN_PID
  std::optional<std::string> fds;    // LISTEN_FDS
  std::optional<std::string> names;  // LISTEN_FDNAMES

  // Takes them out of the environment, so that no child takes them for its
  // own.  It must be called while there is no other thread.
  static ListenVariables Take();
};

struct PassedDescriptor {
  int number;
  std::string name;
  friend bool operator==(const PassedDescriptor&,
                         const PassedDescriptor&) = default;
};

// Gives the descriptors that are meant for process `self`.
// Errors: INVALID_ARGUMENT, one line that names the variable.
absl::StatusOr<std::vector<PassedDescriptor>> ParseListenVariables(
    const ListenVariables& variables, pid_t self);

struct InheritedSockets {
  struct Control {
    AnyAddress address;
    Descriptor socket;
  };
  std::vector<Control> control;  // Those named "control".
  GivenSockets listeners;        // Those named "listener-ID".
  // Those of other names, closed.
  std::vector<PassedDescriptor> unknown;

  // Takes those of `variables`.  It must be called before anything else opens
  // descriptors.
  // Errors: those of ParseListenVariables(); INVALID_ARGUMENT for a descriptor
  // that is not open, or is not a socket of TCP or a unix stream socket that
  // listens, one line that names the variable and the descriptor.
  static absl::StatusOr<InheritedSockets> Take(const ListenVariables& variables,
                                               pid_t self);
};

// The sockets for Flags::control, by the place of their addresses in there.
using ControlSockets = std::map<size_t, Descriptor>;

// Finds the address of each socket among those of --control; without --control
// the sockets' become `flags.control`.
// Errors: INVALID_ARGUMENT, one line, for a socket that no --control names, or
// that other machines reach where flags do not allow that.
absl::StatusOr<ControlSockets> AssignControl(
    std::vector<InheritedSockets::Control> sockets, Flags& flags);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_INHERITED_H_
