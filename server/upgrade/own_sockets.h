// OwnSockets: the sockets at which the daemon's own clients connect.
#ifndef PORTREEVE_SERVER_UPGRADE_OWN_SOCKETS_H_
#define PORTREEVE_SERVER_UPGRADE_OWN_SOCKETS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/descriptor.h"
#include "lib/serve/frozen_server.h"
#include "portreeve/internal/v1/handover.pb.h"

namespace portreeve::server {

// One of them.
struct OwnSocket {
  internal::v1::HandoverControlSocket::Kind kind =
      internal::v1::HandoverControlSocket::KIND_UNSPECIFIED;
  std::string flag;  // Where it is wanted, as HandoverControlSocket::flag.
  FrozenListeningSocket socket;
};

// All of them, in the process that hands over, and in that which takes over.
// Every method is called while the loops stand still (LoopGroup::Freeze()).
class OwnSockets {
 public:
  virtual ~OwnSockets() = default;

  // Gives what there is, with its descriptors; nothing changes by that.
  virtual std::vector<OwnSocket> Freeze() = 0;
  // The other process has them: lets go of them, by nothing but close(2).  It
  // must not throw.
  virtual void HandOver() = 0;

  // Takes one, or closes the descriptor where nobody wants it here.  Nobody is
  // accepted until Own().
  virtual absl::Status Take(const OwnSocket& socket, Descriptor descriptor) = 0;
  // All have come: makes those that are lacking.
  virtual absl::Status Complete() = 0;
  // Accepts from now on.  It must not throw.
  virtual void Own() = 0;
  // Gives up what it has taken, by nothing but close(2).  It must not throw.
  virtual void GiveUp() = 0;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_UPGRADE_OWN_SOCKETS_H_
