// PeerReset: learning of a reset while nobody reads or writes.
#ifndef PORTREEVE_LIB_NET_PEER_RESET_H_
#define PORTREEVE_LIB_NET_PEER_RESET_H_

#include "lib/base/asio.h"
#include "lib/net/socket.h"

namespace portreeve {

// Returns once the peer has reset the socket, with kPeerReset as its reason
// unless it has one already, also while nobody reads from it or writes to it.
// What had arrived before can still be received.  Else it never returns.
// Cancellation: terminal.
// Lifetime: `socket` outlives the call.
Task<> PeerReset(SocketCore& socket);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_PEER_RESET_H_
