// CloseReason: why a connection ended.  The values are those of the enum of the
// same name in proto/portreeve/v1/connection.proto, which says what each means.
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_NET_CLOSE_REASON_H_
#define PORTREEVE_LIB_NET_CLOSE_REASON_H_

namespace portreeve {

enum class CloseReason {
  kNone,  // Not closed, and nothing has happened that will be the reason.
  kPeerClosed,
  kPeerReset,
  kHandlerDone,
  kHandlerError,
  kBufferAge,
  kForced,
  kCalled,
  kListenerClosed,
  kDropped,
  kUnclaimed,
  kClientGone,
  kUpstreamUnreachable,
  kUpstreamClosed,
  kUpstreamReset,
  kCancelled,
  kShutdown,
  kProcessLost,  // Another process carried it on, and is gone.
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_CLOSE_REASON_H_
