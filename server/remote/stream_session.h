// ServeStream: makes a client's stream a socket
// (proto/portreeve/v1/connection.proto).
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
#include "server/remote/stream_mover.h"

namespace portreeve::server {

struct StreamSessionOptions {
  // The reason of the close where the stream breaks.
  CloseReason broken = CloseReason::kClientGone;

  // Gives what the `opened` frame says of the connection.
  std::function<v1::Connection()> describe;

  // By whom the connection moves to the daemon's next process; null where the
  // client has not said that it can.  It must outlive the session.
  StreamMover* mover = nullptr;

  // Called once, when the client is through (`done`, `reset`, `raised`, its
  // stream broke, or the connection was closed under it), with HandlerRaised or
  // null: the owner must then flush and close what is still open.
  std::function<void(std::exception_ptr)> on_end;
};

// Carries bytes, ends and resets both ways from `opened` to `closed`, and
// finishes the stream, as StreamPolicy says.  It reads from the peer once the
// client has taken what it had; from the client it reads one frame ahead of the
// peer, so that it sees an end whatever the peer does.
//
// It returns once the connection is closed, and the client has been told so or
// is gone; or once it has moved.
// Cancellation: terminal; it resets the connection.
Task<> ServeStream(std::shared_ptr<ClientStream> stream,
                   std::shared_ptr<StreamConnection> connection,
                   StreamSessionOptions options);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REMOTE_STREAM_SESSION_H_
