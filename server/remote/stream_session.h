// ServeStream: a client's stream as a socket (API.md "Attach and Dial").
#ifndef PORTREEVE_SERVER_REMOTE_STREAM_SESSION_H_
#define PORTREEVE_SERVER_REMOTE_STREAM_SESSION_H_

#include <exception>
#include <functional>
#include <memory>

#include "lib/base/asio.h"
#include "lib/net/close_reason.h"
#include "lib/serve/stream_connection.h"
#include "portreeve/v1/connection.pb.h"
#include "server/remote/client_stream.h"

namespace portreeve::server {

struct StreamSessionOptions {
  // The reason of a connection whose stream broke.
  CloseReason broken = CloseReason::kClientGone;

  // What `opened` tells.
  std::function<v1::Connection()> describe;

  // Called once, when the client is through (`done`, `reset`, `raised`, its
  // stream broke, or the connection was closed under it), with HandlerRaised or
  // null: what is still open is then to be flushed and closed.
  std::function<void(std::exception_ptr)> on_end;
};

// Carries bytes, ends and resets both ways from `opened` to `closed`, and
// finishes the stream, as StreamPolicy says.  From the peer it reads when the
// client has taken what it had; from the client it reads one frame ahead of the
// peer, so that an end is seen whatever the peer does.
//
// Returns once the connection is closed and the client was told, or is gone.
// Cancellation: terminal; resets the connection.
Task<> ServeStream(std::shared_ptr<ClientStream> stream,
                   std::shared_ptr<StreamConnection> connection,
                   StreamSessionOptions options);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REMOTE_STREAM_SESSION_H_
