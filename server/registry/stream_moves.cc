#include "server/registry/stream_moves.h"

#include <memory>
#include <new>
#include <utility>

#include "lib/base/guarded.h"
#include "lib/serve/stream_connection.h"
#include "portreeve/internal/v1/handover.pb.h"
#include "server/registry/moved_records.h"

namespace portreeve::server {
namespace {

// Gives the connection where it waits for a client, and nothing has ended it;
// else null.
StreamConnection* UnclaimedOf(const LiveConnection& live) {
  const Claim* const claim = live.facts.claim.get();
  if (claim == nullptr || !claim->begun || claim->is_taken()) return nullptr;
  // What can be claimed has a coroutine, or is dialled.
  auto& connection = static_cast<StreamConnection&>(*live.connection);
  const bool goes_on = connection.socket()->is_open() &&
                       !connection.writer().is_closed() &&
                       !connection.socket()->HasFailed();
  return goes_on ? &connection : nullptr;
}

}  // namespace

StreamMoves::StreamMoves(const Executor& executor, const Shared& shared,
                         LetGoFunction let_go)
    : executor_(executor),
      shared_(shared),
      let_go_(std::move(let_go)),
      begun_(executor),
      unclaimed_gone_(executor) {}

void StreamMoves::TakeUnclaimed() {
  for (const auto& [id, live] : shared_.connections.entries()) {
    if (UnclaimedOf(*live) == nullptr) continue;
    // One that cannot be noted stays as it is.
    Guarded([this, id = id] { unclaimed_.push_back(id); });
    if (!unclaimed_.empty() && unclaimed_.back() == id) {
      (void)live->facts.claim->Take();
    }
  }
}

void StreamMoves::Begin() {
  if (shared_.successor == nullptr) return GiveUp();
  begun_.FillIfEmpty();
  MoveUnclaimed();
}

void StreamMoves::GiveUp() {
  for (const int64_t id : std::exchange(unclaimed_, {})) {
    End(id, CloseReason::kUnclaimed);
  }
  unclaimed_gone_.FillIfEmpty();
}

void StreamMoves::End(int64_t id, CloseReason reason) {
  const auto live = shared_.connections.Find(id);
  if (live == nullptr) return;
  Guarded(
      [&] { live->connection->Close(ExistingConnections::kReset, reason); });
  live->facts.claim->End(nullptr);
}

void StreamMoves::MoveUnclaimed() {
  for (int i = 0; i < kMostInStep && !unclaimed_.empty(); ++i) {
    const int64_t id = unclaimed_.front();
    unclaimed_.pop_front();
    // What one lacks memory for is no matter of the others.
    Guarded([&] { MoveUnclaimed(id); });
  }
  if (unclaimed_.empty()) {
    unclaimed_gone_.FillIfEmpty();
    return;
  }
  try {
    asio::post(executor_, [this] { MoveUnclaimed(); });
  } catch (const std::bad_alloc&) {
    GiveUp();
  }
}

void StreamMoves::MoveUnclaimed(int64_t id) {
  const std::shared_ptr<LiveConnection> live = shared_.connections.Find(id);
  if (live == nullptr) return;
  const std::shared_ptr<Claim> claim = live->facts.claim;
  auto& connection = static_cast<StreamConnection&>(*live->connection);
  if (connection.socket()->is_open() && connection.socket()->HasFailed()) {
    End(id, CloseReason::kPeerReset);
  } else if (connection.writer().is_closed() ||
             !connection.socket()->is_open()) {
    claim->End(nullptr);  // It is being closed.
  } else if (MoveOn(id, claim->was_elsewhere)) {
    claim->End(nullptr);
  } else {
    End(id, CloseReason::kShutdown);
  }
}

bool StreamMoves::Move(int64_t id) { return MoveOn(id, true); }

bool StreamMoves::MoveOn(int64_t id, bool was_claimed) {
  if (shared_.successor == nullptr || !shared_.successor->TakesMore()) {
    return false;
  }
  std::shared_ptr<LiveConnection> live = shared_.connections.Find(id);
  if (live == nullptr) return false;
  FrozenStream frozen;
  internal::v1::HandoverMovedOn record;
  bool is_made = false;
  Guarded([&] {
    frozen = static_cast<StreamConnection&>(*live->connection).Freeze();
    record = MovedOnOf(id, frozen);
    record.set_was_claimed(was_claimed);
    is_made = true;
  });
  if (!is_made) return false;
  (void)shared_.connections.Remove(id);
  Descriptor fd = let_go_(*live);
  // Without memory for that its peer is reset; the next process learns that it
  // is lost when this one has ended.
  Guarded([&] {
    shared_.successor->OnMovedOn(std::move(record), frozen.writer.to_write,
                                 std::move(fd));
  });
  return true;
}

}  // namespace portreeve::server
