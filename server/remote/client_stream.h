// ClientStream: the call of a client that serves, or dialled, one connection
// (proto/portreeve/v1/connection.proto).
#ifndef PORTREEVE_SERVER_REMOTE_CLIENT_STREAM_H_
#define PORTREEVE_SERVER_REMOTE_CLIENT_STREAM_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/net/shared_descriptor.h"
#include "portreeve/v1/connection.pb.h"
#include "server/remote/data_block.h"

namespace portreeve::server {

// The bytes of a `data` frame in the pieces in which they came, in order.
struct ReceivedData {
  size_t size() const;
  void RemovePrefix(size_t size);  // `size` <= size().

  std::vector<std::string_view> pieces;
  std::shared_ptr<const void> owner;  // Owns the pieces' memory.
  size_t removed = 0;                 // Bytes, by RemovePrefix().
};

// One message of a client.
struct ClientMessage {
  v1::ClientFrame frame;  // Empty if there is `data`.
  // What most `data` frames are; protobuf has parsed the others into `frame`.
  std::optional<ReceivedData> data;
};

// Reads and writes the frames of an Attach or a Dial call; it hides gRPC.
// HTTP/2's flow control of the stream is what slows either side down: nothing
// is read ahead of Read(), and Write() waits until the client takes the frame.
//
// Threads: loop thread only.
// Lifetime: it is shared with what carries it; Finish() must be called in the
// end.
class ClientStream {
 public:
  virtual ~ClientStream() = default;

  // Who gives the data that is read to the socket of Join().
  enum class Carrier {
    kCaller,
    // The stream may, as far as the socket takes it at once.  This must not be
    // asked for while older bytes wait for the socket elsewhere, since it would
    // overtake them.
    kStream,
  };

  // Waits for the next message.  Gives nullopt once the client has ended its
  // direction, and once the stream is broken or finished.  One call at a time.
  // Cancellation: terminal; it throws operation_aborted, and the next Read()
  // gives the message that would have been the answer.
  virtual Task<std::optional<ClientMessage>> Read(Carrier carrier) = 0;

  // Sends `frame` after the one on its way, and waits until the flow control of
  // the stream has taken it over: true; false if it never will, the stream
  // being broken or finished.  One call at a time, not counting one that was
  // cancelled.
  // Cancellation: terminal; it ends the wait with operation_aborted, and the
  // frame is sent all the same.
  virtual Task<bool> Write(v1::ServerFrame frame) = 0;

  // These do the same in two calls, with a `data` frame, which is not copied.
  // There must be no other write between them, unless DataTaken() was cancelled
  // or is never called.
  virtual void SendData(DataBlock data) = 0;
  virtual Task<bool> DataTaken() = 0;

  // The call has a connection, or is about to connect.  From then on the bound
  // of descriptors counts it, and the bound of calls that only wait does not.
  virtual void BeginConnection() = 0;
  // The connection's descriptor is closed, though the client may still have to
  // take what came before.
  virtual void EndConnection() = 0;

  // From now on the stream may carry data from and to `socket`, the peer, by
  // itself, on threads of its own: data that the peer takes at once need not
  // come to Read(kStream), and SendData() may go on with what the peer has sent
  // meanwhile, until DataTaken() returns.  One frame at a time in each
  // direction all the same.  It must be called while there is no Read() and no
  // Write().
  virtual void Join(std::shared_ptr<SharedDescriptor> socket) = 0;

  // Determined when the call breaks: it was cancelled, its deadline has passed,
  // or the client is lost.  Finish() does not determine it.
  virtual Deferred<> broken() const = 0;

  // Ends the call with `status`, after the frames that were written.  Only the
  // first call counts.  A broken stream needs it, too.
  virtual void Finish(const absl::Status& status) = 0;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REMOTE_CLIENT_STREAM_H_
