// TcpFacts: what the kernel knows of a TCP connection, in one system call.
#ifndef PORTREEVE_LIB_NET_TCP_FACTS_H_
#define PORTREEVE_LIB_NET_TCP_FACTS_H_

#include <cstdint>

namespace portreeve {

struct TcpFacts {
  // The peer has sent FIN, and the connection is not over.
  bool peer_has_ended = false;
  // The connection has ended both ways, or was reset.
  bool is_over = false;
  // How many bytes have arrived in order, be they read or not; urgent bytes and
  // a FIN count one each.
  int64_t bytes_received = 0;
  // In how many segments they came; it counts modulo 2^32.
  uint32_t segments_received = 0;
  // How many bytes were written and not sent even once; a FIN counts one.
  int64_t bytes_unsent = 0;
};

// Gives all 0 and false where the kernel does not answer.
TcpFacts TcpFactsOf(int fd);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_TCP_FACTS_H_
