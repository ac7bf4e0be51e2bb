// TcpFacts: what the kernel knows of a TCP connection, in one system call.
#ifndef PORTREEVE_LIB_NET_TCP_FACTS_H_
#define PORTREEVE_LIB_NET_TCP_FACTS_H_

#include <cstdint>

namespace portreeve {

struct TcpFacts {
  // The peer has sent FIN, and the connection is not over.
  bool peer_has_ended = false;
  // It has ended both ways, or was reset.
  bool is_over = false;
  // What has arrived in order, be it read or not; urgent bytes and a FIN count
  // one each.
  int64_t bytes_received = 0;
  // In how many segments; counts modulo 2^32.
  uint32_t segments_received = 0;
  // What was written and not sent even once; a FIN counts one.
  int64_t bytes_unsent = 0;
};

// All 0 and false where the kernel does not tell.
TcpFacts TcpFactsOf(int fd);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_TCP_FACTS_H_
