// ListeningSockets: what the kernel alone has to do for listeners.
#ifndef PORTREEVE_BENCH_GRPC_LISTENING_SOCKETS_H_
#define PORTREEVE_BENCH_GRPC_LISTENING_SOCKETS_H_

#include <mutex>
#include <set>

namespace portreeve::bench {

// Opens and closes listening sockets with the fewest system calls that make a
// listener: no event is told, nothing is kept, nobody would be served.
// Threads: any.
class ListeningSockets {
 public:
  ListeningSockets();
  ListeningSockets(const ListeningSockets&) = delete;
  ListeningSockets& operator=(const ListeningSockets&) = delete;
  ~ListeningSockets();  // Closes those that are open.

  // On a loopback port of the OS's: its descriptor, which epoll watches; -1 if
  // that failed.
  int Open();

  // False if it is not open.
  bool Close(int fd);

 private:
  const int epoll_;
  std::mutex mutex_;
  std::set<int> open_;  // Under mutex_.
};

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_LISTENING_SOCKETS_H_
