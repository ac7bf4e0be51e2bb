// LingeringSocket: a close that loses nothing of what was sent, though the peer
// sends on.
#ifndef PORTREEVE_LIB_NET_LINGERING_SOCKET_H_
#define PORTREEVE_LIB_NET_LINGERING_SOCKET_H_

#include <cstdint>
#include <memory>

#include "lib/base/descriptor.h"
#include "lib/base/poller.h"
#include "lib/base/time_source.h"
#include "lib/net/linger_policy.h"

namespace portreeve {

// How a connected, non-blocking socket is ended after its last byte was given
// to the kernel:
//
//   BeginClose() -> kClose, kFailed -> close(2)
//                -> kLinger, kLingerAfterInput -> LingeringSocket -> close(2)

enum class CloseStep {
  kClose,  // Nothing can be lost.
  // The kernel has bytes that it has not sent, and what the peer sends after a
  // close would destroy them.
  kLinger,
  kLingerAfterInput,  // The same, and the peer has sent what nobody has read.
  kFailed,  // Close it: the peer has reset it, or it failed otherwise.
};

// Sends FIN.  Where nothing was unread and the kernel had nothing left to send,
// it takes two system calls.  `bytes_received` is how many bytes have been
// received from the socket; where that is not exact it takes some more calls.
CloseStep BeginCloseOfTcp(int fd, int64_t bytes_received);

// Ends a unix socket both ways, and throws away what was unread.  What was sent
// is the peer's already, and the peer can send no more.  Gives kClose or
// kFailed.
CloseStep BeginCloseOfUnix(int fd);

struct LingerResult {
  LingerPolicy::End end;
  // How many bytes the kernel was given and has not sent.  With kForced and
  // kPeerReset they are lost; else the kernel goes on to deliver them.
  int64_t unsent;
};

// Throws away what a TCP socket receives, until it may be closed.
//
// Threads: loop thread only.
// Lifetime: it may be destroyed at any time, which closes the descriptor;
// `poller`, `time` and `owner` must outlive it.
class LingeringSocket {
 public:
  class Owner {
   public:
    // Called when the lingering has ended, never within a call of this class.
    // `fd` must be closed in this call or right after, as Poller::Remove()
    // says; nothing need be done before that, for with kForced it is prepared
    // to be reset.
    // The LingeringSocket may be destroyed in the call.
    virtual void OnLingeringEnded(Descriptor fd,
                                  const LingerResult& result) = 0;

   protected:
    ~Owner() = default;
  };

  // Who has `fd` registered with `poller`, and is not called for it any more.
  struct Registered {
    Poller::Watch* watch = nullptr;  // Null: nobody.
    int tag = 0;
  };

  // Takes the memory that it needs, and does nothing yet.
  LingeringSocket(Poller& poller, TimeSource& time, Owner& owner);
  // Calls Begin(), too.
  LingeringSocket(Poller& poller, TimeSource& time, Owner& owner, Descriptor fd,
                  Registered registered, CloseStep begun, TimePoint deadline);
  LingeringSocket(const LingeringSocket&) = delete;
  LingeringSocket& operator=(const LingeringSocket&) = delete;
  ~LingeringSocket();

  // Begins to throw away.  `begun` is what BeginCloseOfTcp() gave, and one of
  // those that linger.  It must be called once, and never throws.
  void Begin(Descriptor fd, Registered registered, CloseStep begun,
             TimePoint deadline);

  // Ends a socket for which there is no memory to linger as one whose deadline
  // has come: the caller has to close `fd` right after, which is prepared to be
  // reset where the peer sends on.
  static LingerResult EndAtOnce(int fd, CloseStep begun);

  // Sets another deadline; the earliest of several holds.
  void EndBy(TimePoint deadline);

  // Gives the descriptor, to be asked about; -1 before Begin() and after the
  // end.
  int fd() const;

  // Ends it now, and gives the descriptor, which must be closed or reset right
  // after the call.  The owner is not called.
  Descriptor Take();

 private:
  class State;
  const std::shared_ptr<State> state_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_LINGERING_SOCKET_H_
