// The close that loses nothing of what was sent, though the peer sends on.
#ifndef PORTREEVE_LIB_NET_LINGERING_SOCKET_H_
#define PORTREEVE_LIB_NET_LINGERING_SOCKET_H_

#include <cstdint>
#include <memory>

#include "lib/base/descriptor.h"
#include "lib/base/poller.h"
#include "lib/base/time_source.h"
#include "lib/net/linger_policy.h"

namespace portreeve {

// How a connected, non-blocking socket is ended whose last byte was given to
// the kernel:
//
//   BeginClose() -> kClose, kFailed -> close(2)
//                -> kLinger, kLingerAfterInput -> LingeringSocket -> close(2)

enum class CloseStep {
  kClose,  // Nothing can be lost.
  // The kernel has bytes that it has not sent: what the peer sends after a
  // close would destroy them.
  kLinger,
  kLingerAfterInput,  // The same since the peer has sent what nobody has read.
  kFailed,  // Close it: the peer has reset it, or it failed otherwise.
};

// Sends FIN.  Where nothing was unread and the kernel had nothing left to send,
// it takes two system calls.  `bytes_received`: how many have been received
// from the socket; where that is not exact it takes some more calls.
CloseStep BeginCloseOfTcp(int fd, int64_t bytes_received);

// Ends it both ways, and throws away what was unread.  What was sent is the
// peer's already, and the peer can send no more: kClose or kFailed.
CloseStep BeginCloseOfUnix(int fd);

struct LingerResult {
  LingerPolicy::End end;
  // Bytes that were given to the kernel, and that it has not sent.  With
  // kForced and kPeerReset they are lost; else the kernel goes on to deliver
  // them.
  int64_t unsent;
};

// Throws away what a TCP socket receives, until it may be closed.
//
// Threads: one loop's.  Lifetime: may go at any time, which closes the
// descriptor; `poller`, `time` and `owner` outlive it.
class LingeringSocket {
 public:
  class Owner {
   public:
    // It has ended; never called within a call of this class.  `fd` is to be
    // closed, in this call or, as Poller::Remove() has it, right after; nothing
    // need be done before, for with kForced it is prepared to be reset.
    // The LingeringSocket may be destroyed in the call.
    virtual void OnLingeringEnded(Descriptor fd,
                                  const LingerResult& result) = 0;

   protected:
    ~Owner() = default;
  };

  // Whoever has `fd` registered with `poller`, and is told of it no more.
  struct Registered {
    Poller::Watch* watch = nullptr;  // Null: nobody.
    int tag = 0;
  };

  // `begun` is what BeginCloseOfTcp() gave: one of those that linger.
  LingeringSocket(Poller& poller, TimeSource& time, Owner& owner, Descriptor fd,
                  Registered registered, CloseStep begun, TimePoint deadline);
  LingeringSocket(const LingeringSocket&) = delete;
  LingeringSocket& operator=(const LingeringSocket&) = delete;
  ~LingeringSocket();

  // The earliest of several deadlines holds.
  void EndBy(TimePoint deadline);

  // Ends it now: gives the descriptor, to be closed or reset as it is right
  // after the call.  The owner is not told.
  Descriptor Take();

 private:
  class State;
  const std::shared_ptr<State> state_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_LINGERING_SOCKET_H_
