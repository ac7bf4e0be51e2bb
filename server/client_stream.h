// ClientStream: the call of a client that serves, or dialled, one connection
// (API.md "Attach and Dial").
#ifndef PORTREEVE_SERVER_CLIENT_STREAM_H_
#define PORTREEVE_SERVER_CLIENT_STREAM_H_

#include <optional>

#include "absl/status/status.h"
#include "lib/asio.h"
#include "lib/deferred.h"
#include "portreeve/v1/connection.pb.h"

namespace portreeve::server {

// The frames of an Attach or a Dial call, without gRPC.  HTTP/2's flow control
// of the stream is what slows either side down: nothing is read ahead of
// Read(), and Write() waits until the client takes it.
//
// Threads: loop thread only.
// Lifetime: shared with what carries it; Finish() must be called in the end.
class ClientStream {
 public:
  virtual ~ClientStream() = default;

  // Waits for the next frame.  nullopt once the client has ended its direction,
  // and once the stream is broken or finished.  One at a time.
  // Cancellation: terminal; throws operation_aborted, and the frame that would
  // have been the answer is that of the next Read().
  virtual Task<std::optional<v1::ClientFrame>> Read() = 0;

  // Sends `frame` after the one on its way, and waits until it has been taken
  // over by the flow control of the stream: true; false if it never will be,
  // the stream being broken or finished.  One at a time, but for one that was
  // cancelled.
  // Cancellation: terminal; ends the wait with operation_aborted, the frame is
  // sent all the same.
  virtual Task<bool> Write(v1::ServerFrame frame) = 0;

  // Determined when the call breaks: it was cancelled, its deadline has passed,
  // or the client is lost.  Never by Finish().
  virtual Deferred<> broken() const = 0;

  // Ends the call with `status`, after the frames that were written.  Only the
  // first call counts.  Needed for a broken stream, too.
  virtual void Finish(const absl::Status& status) = 0;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CLIENT_STREAM_H_
