// Who is at the other end of a unix socket, as the kernel knows it.
#ifndef PORTREEVE_LIB_NET_PEER_CREDENTIALS_H_
#define PORTREEVE_LIB_NET_PEER_CREDENTIALS_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <optional>
#include <vector>

namespace portreeve {

// Gives the process that has connected, as it was then (SO_PEERCRED); nothing,
// and errno, where `fd` has no such thing.
std::optional<ucred> PeerCredentials(int fd);

// Gives its supplementary groups at that time (SO_PEERGROUPS); none where the
// kernel does not tell, before Linux 4.13.
std::vector<gid_t> PeerGroups(int fd);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_PEER_CREDENTIALS_H_
