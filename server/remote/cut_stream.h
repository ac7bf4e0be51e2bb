// CutStream: how the daemon ends a connection that a client's stream serves,
// and that neither side has ended.
#ifndef PORTREEVE_SERVER_REMOTE_CUT_STREAM_H_
#define PORTREEVE_SERVER_REMOTE_CUT_STREAM_H_

#include "lib/base/deferred.h"
#include "lib/net/close_reason.h"
#include "lib/serve/stream_connection.h"

namespace portreeve::server {

// Resets `connection`, so that cut data never looks whole.  It is closed in
// order instead if all that there will be was sent to the peer, and the FIN
// after it, or if somebody has asked for its flush.  Gives closed().
Deferred<> CutStream(StreamConnection& connection, CloseReason reason);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REMOTE_CUT_STREAM_H_
