// LingerPolicy: when a socket that lingers before its close may be closed.  It
// has no socket and no clock.
#ifndef PORTREEVE_LIB_NET_LINGER_POLICY_H_
#define PORTREEVE_LIB_NET_LINGER_POLICY_H_

#include <cstdint>

#include "lib/base/doubling_delay.h"
#include "lib/base/time_source.h"

namespace portreeve {

// It is for a TCP socket on which everything, the FIN included, was given to
// the kernel.  As long as the peer has not acknowledged all of that, close(2)
// may lose it: the kernel answers what the peer sends afterwards, and what was
// left unread, with a reset, and throws away what it has not delivered.
//
//   lingering -> kAcknowledged | kPeerEnded | kPeerReset | kLeftToKernel
//             -> kForced
class LingerPolicy {
 public:
  // What the last recv(2) of a look gave.
  enum class Input {
    kNothing,  // There is no more now.
    kMore,     // The look was long enough, and there may be more.
    kEnd,      // The peer has sent FIN.
    kFailure,
  };

  enum class End {
    kNone,          // It lingers on.
    kAcknowledged,  // The peer's kernel has all, the FIN included.
    kPeerEnded,     // The peer sends no more, so that nothing can be lost.
    kPeerReset,
    // The deadline has come, and the peer has sent meanwhile.  What it has not
    // acknowledged must be thrown away with a reset, for otherwise nobody would
    // know what becomes of it.
    kForced,
    // The deadline has come, and the peer has sent nothing: the kernel goes on
    // with a close in order, as it does where nothing lingers.
    kLeftToKernel,
  };

  // `peer_sends` says that input was left unread when the lingering began.
  LingerPolicy(TimePoint now, TimePoint deadline, bool peer_sends);

  // Sets another deadline; the earliest of several holds.
  void EndBy(TimePoint deadline);

  // Gives when to look at the socket, unless it becomes readable before.
  TimePoint next_look() const;

  // Takes what a look at the socket has found at `now`: `discarded` bytes of
  // input were read and thrown away, with `input` in the end; after that
  // `unacknowledged` bytes had not been acknowledged, our FIN included.  It
  // must not be called again after an end.
  End OnLook(TimePoint now, int64_t discarded, Input input,
             int64_t unacknowledged);

 private:
  TimePoint deadline_;
  DoublingDelay delay_;
  TimePoint next_look_;
  bool peer_sends_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_LINGER_POLICY_H_
