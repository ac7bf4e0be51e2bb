#include "server/registry/held_connection.h"

namespace portreeve::server {

Deferred<> HeldConnection::Close(ExistingConnections how, CloseReason reason) {
  if (how != ExistingConnections::kLeave && is_open() && holder_ != nullptr) {
    holder_->Close(id(), how, reason);
  }
  return closed();
}

void HeldConnection::Finish(const HeldCounts& counts) {
  counts_ = counts;
  closed_.Fill();
}

}  // namespace portreeve::server
