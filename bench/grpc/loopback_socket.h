// LoopbackSocket: plain TCP to a listener on this machine.
#ifndef PORTREEVE_BENCH_GRPC_LOOPBACK_SOCKET_H_
#define PORTREEVE_BENCH_GRPC_LOOPBACK_SOCKET_H_

namespace portreeve::bench {

// A connected socket, which the destructor closes.
class LoopbackSocket {
 public:
  // Connects to 127.0.0.1:`port`.  A failure shows when the socket is used.
  explicit LoopbackSocket(int port);
  LoopbackSocket(const LoopbackSocket&) = delete;
  LoopbackSocket& operator=(const LoopbackSocket&) = delete;
  ~LoopbackSocket();

  int fd() const { return fd_; }

  // Sends one byte and waits until it has come back; gives false if it does
  // not.
  bool EchoByte();

 private:
  const int fd_;
};

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_LOOPBACK_SOCKET_H_
