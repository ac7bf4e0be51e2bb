// LingerPolicy: when a socket that lingers before its close may be closed.  No
// sockets, no clock.
#ifndef PORTREEVE_LIB_NET_LINGER_POLICY_H_
#define PORTREEVE_LIB_NET_LINGER_POLICY_H_

#include <cstdint>

#include "lib/base/doubling_delay.h"
#include "lib/base/time_source.h"

namespace portreeve {

// Of a TCP socket that was sent FIN, with all that was to be sent given to the
// kernel.  As long as the peer has not acknowledged it, close(2) may lose it:
// the kernel answers what the peer sends afterwards, and what was left unread,
// with a reset, and throws away what it has not delivered.
//
//   lingering -> kAcknowledged | kPeerEnded | kPeerReset | kLeftToKernel
//             -> kForced
class LingerPolicy {
 public:
  // What the last recv(2) of a step gave.
  enum class Input {
    kNothing,  // There is no more now.
    kMore,     // The step was long enough, and there may be more.
    kEnd,      // The peer has sent FIN.
    kFailure,
  };

  enum class End {
    kNone,          // It lingers on.
    kAcknowledged,  // The peer's kernel has all, the FIN included.
    kPeerEnded,     // The peer sends no more, so that nothing can be lost.
    kPeerReset,
    // The deadline has come.  The peer has sent meanwhile: what it has not
    // acknowledged is to be thrown away with a reset, for otherwise nobody knew
    // what becomes of it.
    kForced,
    // The deadline has come.  The peer has sent nothing: the kernel goes on
    // with a close in order, as it does where nothing lingers.
    kLeftToKernel,
  };

  // `peer_sends`: input was left unread when it began.
  LingerPolicy(TimePoint now, TimePoint deadline, bool peer_sends);

  // The earliest of several holds.
  void EndBy(TimePoint deadline);

  // When to look at the socket, unless it becomes readable before.
  TimePoint next_look() const;

  // Of a look at `now`: input of `discarded` bytes was read and thrown away,
  // with `input` in the end; after that `unacknowledged` bytes had not been
  // acknowledged, our FIN included.  Not again after an end.
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
