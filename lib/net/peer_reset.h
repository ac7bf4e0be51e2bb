// PeerReset: waits for a reset, also while nobody reads or writes.
#ifndef PORTREEVE_LIB_NET_PEER_RESET_H_
#define PORTREEVE_LIB_NET_PEER_RESET_H_

#include "lib/base/asio.h"
#include "lib/net/socket.h"

namespace portreeve {

// Returns once the peer has reset the socket, whose reason is kPeerReset then
// unless there was one already.  Nobody need read from the socket or write to
// it.  What had arrived before can still be received.  Without a reset it never
// returns.
// Cancellation: terminal.
// Lifetime: `socket` must outlive the call.
Task<> PeerReset(SocketCore& socket);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_PEER_RESET_H_
