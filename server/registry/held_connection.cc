#include "server/registry/held_connection.h"

namespace portreeve::server {

Deferred<> HeldConnection::Close(ExistingConnections how, CloseReason reason) {
  if (how != ExistingConnections::kLeave && is_open()) {
    wanted_close_ = {how, reason};
    if (holder_ != nullptr) holder_->Close(id(), how, reason);
  }
  return closed();
}

void HeldConnection::Finish(const HeldCounts& counts) {
  counts_ = counts;
  closed_.Fill();
  settled_.FillIfEmpty();
}

void HeldConnection::MoveTo(const std::shared_ptr<AnyConnection>& connection) {
  settled_.FillIfEmpty();
  if (wanted_close_) {
    connection->Close(wanted_close_->how, wanted_close_->reason);
  }
  // Whoever waits for this one's end keeps it alive.
  connection->closed().Upon([closed = closed_] { closed.FillIfEmpty(); });
}

}  // namespace portreeve::server
