// Plain TCP to listeners on this machine.
#ifndef PORTREEVE_BENCH_GRPC_LOOPBACK_SOCKET_H_
#define PORTREEVE_BENCH_GRPC_LOOPBACK_SOCKET_H_

namespace portreeve::bench {

// A connected socket; closed by its destructor.
class LoopbackSocket {
 public:
  // Connects to 127.0.0.1:`port`.  What fails shows when the socket is used.
  explicit LoopbackSocket(int port);
  LoopbackSocket(const LoopbackSocket&) = delete;
  LoopbackSocket& operator=(const LoopbackSocket&) = delete;
  ~LoopbackSocket();

  int fd() const { return fd_; }

  // Sends one byte and waits until it has come back; false if it does not.
  bool EchoByte();

 private:
  const int fd_;
};

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_LOOPBACK_SOCKET_H_
