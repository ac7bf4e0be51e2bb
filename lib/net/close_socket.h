// The two ways to close a connected socket.
#ifndef PORTREEVE_LIB_NET_CLOSE_SOCKET_H_
#define PORTREEVE_LIB_NET_CLOSE_SOCKET_H_

namespace portreeve {

// Sends FIN, and throws away input that was not read, so that close(2) does not
// send a reset, which can overtake what was sent before the FIN.  It reads a
// bounded number of bytes, for a peer may send faster than this reads.  The
// descriptor stays open.  Returns false where the peer has reset the
// connection, or it failed otherwise.
bool ShutDownInOrder(int fd);

// Makes close(2) send a reset, and throw away what the kernel has not sent
// (TCP; a unix socket has no reset).
void MakeCloseReset(int fd);

// Takes that back: close(2) is an end again.
void MakeCloseAnEnd(int fd);

// Takes the error that the kernel holds for the socket (SO_ERROR), so that
// nobody else can; 0 for none.
int TakeSocketError(int fd);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_CLOSE_SOCKET_H_
