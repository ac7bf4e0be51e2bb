// StreamMoves: gives connections that clients serve to the daemon's next
// process.
#ifndef PORTREEVE_SERVER_REGISTRY_STREAM_MOVES_H_
#define PORTREEVE_SERVER_REGISTRY_STREAM_MOVES_H_

#include <cstdint>
#include <deque>
#include <functional>

#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/descriptor.h"
#include "lib/net/close_reason.h"
#include "server/registry/connection_table.h"
#include "server/registry/shared.h"
#include "server/remote/stream_mover.h"

namespace portreeve::server {

// Once it has begun, every connection that no client has claimed goes, some in
// each step of the loop, and each of the others when its session says so.
// Until then those that no client has claimed are taken by this, so that they
// are not given up as the workers leave.
//
// Threads: loop thread only.
// Lifetime: it must outlive the steps that it posts, and who moves by it.
class StreamMoves final : public StreamMover {
 public:
  // Lets go of a connection, which has left the table, and gives its
  // descriptor; nobody is told.
  using LetGoFunction = std::function<Descriptor(const LiveConnection&)>;

  StreamMoves(const Executor& executor, const Shared& shared,
              LetGoFunction let_go);
  StreamMoves(const StreamMoves&) = delete;
  StreamMoves& operator=(const StreamMoves&) = delete;

  // The next process serves: one of the two below follows, once.
  void TakeUnclaimed();
  void Begin();
  // None can move: those that nobody has claimed are reset, UNCLAIMED.
  void GiveUp();

  Deferred<> begun() const override { return begun_.deferred(); }
  // Determined once none of those that no client has claimed is left.
  Deferred<> unclaimed_gone() const { return unclaimed_gone_.deferred(); }
  bool Move(int64_t id) override;

 private:
  // How many of those that nobody has claimed go in a step.
  static constexpr int kMostInStep = 64;

  bool MoveOn(int64_t id, bool was_claimed);
  void MoveUnclaimed();
  void MoveUnclaimed(int64_t id);
  void End(int64_t id, CloseReason reason);

  const Executor executor_;
  const Shared& shared_;
  const LetGoFunction let_go_;
  const Ivar<> begun_;
  const Ivar<> unclaimed_gone_;
  std::deque<int64_t> unclaimed_;  // Their ids.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_STREAM_MOVES_H_
