// RemoteWorker: serves a listener with a remote handler by echoing.
#ifndef PORTREEVE_BENCH_GRPC_REMOTE_WORKER_H_
#define PORTREEVE_BENCH_GRPC_REMOTE_WORKER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "bench/grpc/measurement.h"

namespace portreeve::bench {

// Makes the listener, is its worker, and sends back each frame of its
// connections before it reads the next.  All streams are on one channel.
class RemoteWorker {
 public:
  // Returns when connections are served.  `tally`, which gets the errors, and
  // `frames`, the number of data frames, must outlive this.
  RemoteWorker(const std::string& server, Tally& tally,
               std::atomic<int64_t>& frames);
  RemoteWorker(const RemoteWorker&) = delete;
  RemoteWorker& operator=(const RemoteWorker&) = delete;
  // Closes the listener, and resets what is connected.
  ~RemoteWorker();

  // The port on 127.0.0.1; 0: the listener could not be made.
  int port() const { return port_; }

 private:
  class HandleStream;
  struct Stubs;

  const std::shared_ptr<Stubs> stubs_;
  std::string name_;
  int port_ = 0;
  std::unique_ptr<HandleStream> handle_;
};

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_REMOTE_WORKER_H_
