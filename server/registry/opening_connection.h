// OpeningConnection: a dial that is under way, in the place of the connection
// that it is to become.
#ifndef PORTREEVE_SERVER_REGISTRY_OPENING_CONNECTION_H_
#define PORTREEVE_SERVER_REGISTRY_OPENING_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "lib/base/deferred.h"
#include "lib/base/executor.h"
#include "lib/net/any_connection.h"

namespace portreeve::server {

// Its id is that of the connection.
// Threads: loop thread only.
class OpeningConnection final : public AnyConnection {
 public:
  // `peer` is where the dial leads, where that is known before.
  OpeningConnection(const Executor& executor, std::optional<AnyAddress> peer)
      : peer_(std::move(peer)), interrupt_(executor), closed_(executor) {}

  // Gives null where the address is not known yet.
  const AnyAddress* known_peer() const { return peer_ ? &*peer_ : nullptr; }

  // Neither must be called, since there may be none.
  const AnyAddress& peer() const override;
  const AnyAddress& local() const override;

  int64_t bytes_received() const override { return 0; }
  int64_t bytes_sent() const override { return 0; }
  size_t bytes_to_write() const override { return 0; }
  CloseReason reason() const override { return reason_; }

  bool is_open() const override { return !closed_.deferred().determined(); }
  Deferred<> closed() const override { return closed_.deferred(); }

  // Interrupts the attempt.  Where that has just succeeded, whoever dials sees
  // is_closing().
  Deferred<> Close(ExistingConnections how, CloseReason reason) override;
  bool is_closing() const { return reason_ != CloseReason::kNone; }

  // The client is gone: interrupts the attempt, too.
  void Interrupt() { interrupt_.FillIfEmpty(); }
  Deferred<> interrupt() const { return interrupt_.deferred(); }

  // The attempt is over, and there is no connection.
  void OnGivenUp() { closed_.FillIfEmpty(); }

 private:
  const std::optional<AnyAddress> peer_;
  CloseReason reason_ = CloseReason::kNone;
  const Ivar<> interrupt_;
  const Ivar<> closed_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_OPENING_CONNECTION_H_
