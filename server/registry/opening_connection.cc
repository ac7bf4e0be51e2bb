#include "server/registry/opening_connection.h"

#include "lib/base/check.h"

namespace portreeve::server {

const AnyAddress& OpeningConnection::peer() const {
  PORTREEVE_CHECK(peer_.has_value());
  return *peer_;
}

const AnyAddress& OpeningConnection::local() const {
  PORTREEVE_CHECK(false);
  return *peer_;
}

Deferred<> OpeningConnection::Close(ExistingConnections how,
                                    CloseReason reason) {
  if (how == ExistingConnections::kLeave || !is_open()) return closed();
  if (reason_ == CloseReason::kNone) reason_ = reason;
  Interrupt();
  return closed();
}

}  // namespace portreeve::server
