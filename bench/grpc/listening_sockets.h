// ListeningSockets: does for listeners only what the kernel has to do.
#ifndef PORTREEVE_BENCH_GRPC_LISTENING_SOCKETS_H_
#define PORTREEVE_BENCH_GRPC_LISTENING_SOCKETS_H_

#include <mutex>
#include <set>

namespace portreeve::bench {

// Opens and closes listening sockets with the fewest system calls that make a
// listener.  It reports no events, keeps nothing, and would serve nobody.
// Threads: any.
class ListeningSockets {
 public:
  ListeningSockets();
  ListeningSockets(const ListeningSockets&) = delete;
  ListeningSockets& operator=(const ListeningSockets&) = delete;
  ~ListeningSockets();  // Closes those that are open.

  // Opens one on a loopback port that the OS chooses.  Gives its descriptor,
  // which epoll watches; -1 if that failed.
  int Open();

  // Gives false if `fd` is not one of those that are open.
  bool Close(int fd);

 private:
  const int epoll_;
  std::mutex mutex_;
  std::set<int> open_;  // Guarded by mutex_.
};

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_LISTENING_SOCKETS_H_
