#include "server/remote/cut_stream.h"

namespace portreeve::server {

Deferred<> CutStream(StreamConnection& connection, CloseReason reason) {
  const Writer& writer = connection.writer();
  const bool in_order = writer.is_closed() || writer.has_sent_end();
  return connection.Close(
      in_order ? ExistingConnections::kClose : ExistingConnections::kReset,
      reason);
}

}  // namespace portreeve::server
