// HandoverPeer: the process at the other end of a hand-over, which has to be
// dead before this one goes on.
#ifndef PORTREEVE_SERVER_HANDOVER_HANDOVER_PEER_H_
#define PORTREEVE_SERVER_HANDOVER_HANDOVER_PEER_H_

#include <signal.h>
#include <sys/types.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "lib/base/time_source.h"
#include "server/handover/handover_clock.h"

namespace portreeve::server {

// Holds it by a pidfd, so that nobody else is killed who has got its number.
class HandoverPeer {
 public:
  // `pid` must be a process that is alive, or a child that nobody has waited
  // for.  Errors: those of pidfd_open(2).
  static absl::StatusOr<HandoverPeer> Open(pid_t pid);

  // `pidfd` is that of process `pid`.
  HandoverPeer(pid_t pid, Descriptor pidfd)
      : pid_(pid), pidfd_(std::move(pidfd)) {}
  HandoverPeer(HandoverPeer&&) = default;
  virtual ~HandoverPeer() = default;

  pid_t pid() const { return pid_; }
  // A poller is told of its death by this.
  int native_handle() const { return pidfd_.get(); }

  // Sends it SIGKILL.  It is no error that it is dead.
  virtual absl::Status Kill();

  // Sends it another signal; one that is dead needs none.
  void Signal(int number);

  // Waits until it is dead, all of its threads, and gives true; false at
  // `deadline`.  A child is waited for (waitid(2)) here, and not to be
  // elsewhere.
  virtual bool AwaitDeath(HandoverClock& clock, TimePoint deadline);

  // Gives in words how a child has ended by itself that was waited for, as
  // "exit status 1"; "" where it was killed, or that is not known.
  std::string EndText() const;

 private:
  pid_t pid_;
  Descriptor pidfd_;
  siginfo_t end_{};
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDOVER_HANDOVER_PEER_H_
