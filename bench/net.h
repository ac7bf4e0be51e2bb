// What all programs of the benchmark do with sockets.  Errors that nothing can
// be done about end the program.
#ifndef PORTREEVE_BENCH_NET_H_
#define PORTREEVE_BENCH_NET_H_

#include <netinet/in.h>

#include <cstddef>
#include <string>

namespace portreeve::bench {

// Prints `what` and errno's text to stderr, and ends the program with exit
// status 1.
[[noreturn]] void Die(const std::string& what);

// Allows as many descriptors as the hard limit does.
void RaiseDescriptorLimit();

// Parses "127.0.0.1:80"; IPv4 only.
sockaddr_in ParseEndpoint(const std::string& text);

// Gives a listening socket, non-blocking.  Accepted sockets inherit
// TCP_NODELAY.
int ListenOn(const sockaddr_in& address);

// Prints "listening PORT", which whoever started the program waits for.
void PrintPort(int listening_socket);

// Gives a non-blocking TCP socket with TCP_NODELAY; -1, with errno, if there is
// none.
int NewSocket();

// Closes `fd` so that the port is free at once, and the peer sees a reset.
void CloseWithReset(int fd);

// Hands out 127.1.0.1, 127.1.0.2 … in turn, to be bound to before a connect: a
// client that closes first holds its port for a minute, and each address has
// ports of its own.
class SourceAddresses {
 public:
  // Binds `fd` to the next one; gives false, with errno, if that fails.
  bool Bind(int fd);

 private:
  unsigned next_ = 0;
};

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_NET_H_
