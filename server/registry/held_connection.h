// HeldConnection: a connection that the daemon's former process carries on.
#ifndef PORTREEVE_SERVER_REGISTRY_HELD_CONNECTION_H_
#define PORTREEVE_SERVER_REGISTRY_HELD_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "lib/base/deferred.h"
#include "lib/base/executor.h"
#include "lib/net/address.h"
#include "lib/net/any_connection.h"

namespace portreeve::server {

// Who has the connections.
// Threads: loop thread only.
class ConnectionHolder {
 public:
  // Closes one of them there; its end is told as that of any other.
  virtual void Close(int64_t id, ExistingConnections how,
                     CloseReason reason) = 0;

 protected:
  ~ConnectionHolder() = default;
};

// What one was like at a moment.
struct HeldCounts {
  int64_t bytes_received = 0;
  int64_t bytes_sent = 0;
  int64_t bytes_to_write = 0;
  CloseReason reason = CloseReason::kNone;

  friend bool operator==(const HeldCounts&, const HeldCounts&) = default;
};

// Stands in the place of the connection, and has what was last told of it.
// Threads: loop thread only.
class HeldConnection final : public AnyConnection {
 public:
  // What `holder` points to is null while nobody can be asked; it must outlive
  // the connection.  One that may follow may come here later (MoveTo()).
  HeldConnection(const Executor& executor, int64_t id, AnyAddress peer,
                 AnyAddress local, const HeldCounts& counts,
                 ConnectionHolder* const& holder, bool may_follow = false)
      : AnyConnection(id),
        peer_(std::move(peer)),
        local_(std::move(local)),
        counts_(counts),
        holder_(holder),
        may_follow_(may_follow),
        closed_(executor),
        settled_(executor) {}

  const AnyAddress& peer() const override { return peer_; }
  const AnyAddress& local() const override { return local_; }
  int64_t bytes_received() const override { return counts_.bytes_received; }
  int64_t bytes_sent() const override { return counts_.bytes_sent; }
  size_t bytes_to_write() const override {
    return static_cast<size_t>(counts_.bytes_to_write);
  }
  CloseReason reason() const override { return counts_.reason; }
  bool is_open() const override { return !closed_.determined(); }
  Deferred<> closed() const override { return closed_.deferred(); }
  Deferred<> Close(ExistingConnections how, CloseReason reason) override;

  const HeldCounts& counts() const { return counts_; }
  void Update(const HeldCounts& counts) { counts_ = counts; }
  // It is closed, and was so at last.
  void Finish(const HeldCounts& counts);
  // `connection` has come in its place, and is closed if this one was to be.
  // This one is closed once that is.
  void MoveTo(const std::shared_ptr<AnyConnection>& connection);
  bool may_follow() const { return may_follow_; }
  // Gives true once: to whom it is promised that comes for it first.
  bool AwaitFirst() { return !std::exchange(is_awaited_, true); }
  // Determined once either has happened.
  Deferred<> settled() const { return settled_.deferred(); }

 private:
  struct WantedClose {
    ExistingConnections how;
    CloseReason reason;
  };

  const AnyAddress peer_;
  const AnyAddress local_;
  HeldCounts counts_;
  ConnectionHolder* const& holder_;
  const bool may_follow_;
  // What Close() was called with at last.
  std::optional<WantedClose> wanted_close_;
  bool is_awaited_ = false;
  const Ivar<> closed_;
  const Ivar<> settled_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_HELD_CONNECTION_H_
