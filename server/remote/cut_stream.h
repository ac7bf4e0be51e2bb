// CutStream: the end of a connection that a client's stream serves, where
// neither side has ended it but the daemon.
#ifndef PORTREEVE_SERVER_REMOTE_CUT_STREAM_H_
#define PORTREEVE_SERVER_REMOTE_CUT_STREAM_H_

#include "lib/base/deferred.h"
#include "lib/net/close_reason.h"
#include "lib/serve/stream_connection.h"

namespace portreeve::server {

// Resets `connection`, so that cut data never looks whole; unless the peer has
// got all that there will be, and the FIN after it, or somebody has asked for
// its flush: then it is closed in order.  Gives closed().
Deferred<> CutStream(StreamConnection& connection, CloseReason reason);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REMOTE_CUT_STREAM_H_
