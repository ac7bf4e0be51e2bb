// DroppedConnection: what is left of a client that was closed before anything
// could serve it.
#ifndef PORTREEVE_LIB_SERVE_DROPPED_CONNECTION_H_
#define PORTREEVE_LIB_SERVE_DROPPED_CONNECTION_H_

#include <utility>

#include "lib/net/any_connection.h"

namespace portreeve {

// It is closed from the beginning, and nothing has gone through it.
// Threads: loop thread only.
class DroppedConnection final : public AnyConnection {
 public:
  DroppedConnection(Executor executor, AnyAddress peer, AnyAddress local)
      : peer_(std::move(peer)),
        local_(std::move(local)),
        closed_(std::move(executor)) {
    closed_.Fill();
  }

  const AnyAddress& peer() const override { return peer_; }
  const AnyAddress& local() const override { return local_; }
  int64_t bytes_received() const override { return 0; }
  int64_t bytes_sent() const override { return 0; }
  size_t bytes_to_write() const override { return 0; }
  CloseReason reason() const override { return CloseReason::kDropped; }
  bool is_open() const override { return false; }
  Deferred<> closed() const override { return closed_.deferred(); }
  Deferred<> Close(ExistingConnections, CloseReason) override {
    return closed();
  }

 private:
  const AnyAddress peer_;
  const AnyAddress local_;
  const Ivar<> closed_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_SERVE_DROPPED_CONNECTION_H_
