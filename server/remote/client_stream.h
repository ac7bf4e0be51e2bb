// ClientStream: the call of a client that serves, or dialled, one connection
// (API.md "Attach and Dial").
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

// The bytes of a `data` frame as they came: in pieces, in order.
struct ReceivedData {
  size_t size() const;
  void RemovePrefix(size_t size);  // At most size().

  std::vector<std::string_view> pieces;
  std::shared_ptr<const void> owner;  // Of the memory of the pieces.
  size_t removed = 0;                 // By RemovePrefix().
};

// One message of a client.
struct ClientMessage {
  v1::ClientFrame frame;  // Empty where there is `data`.
  // Most `data` frames; protobuf has parsed the others into `frame`.
  std::optional<ReceivedData> data;
};

// The frames of an Attach or a Dial call, without gRPC.  HTTP/2's flow control
// of the stream is what slows either side down: nothing is read ahead of
// Read(), and Write() waits until the client takes it.
//
// Threads: loop thread only.
// Lifetime: shared with what carries it; Finish() must be called in the end.
class ClientStream {
 public:
  virtual ~ClientStream() = default;

  // Who gives the socket of Join() the data that is read.
  enum class Carrier {
    kCaller,
    // The stream may, whatever the socket takes at once.  Not while older bytes
    // wait for the socket elsewhere: it would overtake them.
    kStream,
  };

  // Waits for the next message.  nullopt once the client has ended its
  // direction, and once the stream is broken or finished.  One at a time.
  // Cancellation: terminal; throws operation_aborted, and the message that
  // would have been the answer is that of the next Read().
  virtual Task<std::optional<ClientMessage>> Read(Carrier carrier) = 0;

  // Sends `frame` after the one on its way, and waits until it has been taken
  // over by the flow control of the stream: true; false if it never will be,
  // the stream being broken or finished.  One at a time, but for one that was
  // cancelled.
  // Cancellation: terminal; ends the wait with operation_aborted, the frame is
  // sent all the same.
  virtual Task<bool> Write(v1::ServerFrame frame) = 0;

  // The same in two steps, with a `data` frame, which is not copied.  Between
  // them there is no other write, unless DataTaken() was cancelled or is never
  // called.
  virtual void SendData(DataBlock data) = 0;
  virtual Task<bool> DataTaken() = 0;

  // The call has a connection, or is about to connect: a bound of descriptors
  // has it, so that it is no call that only waits.
  virtual void BeginConnection() = 0;
  // The connection's descriptor is closed, though the client may still have to
  // take what came before.
  virtual void EndConnection() = 0;

  // From now on the stream may carry data from and to `socket`, the peer, by
  // itself, on threads of its own: data that the peer takes at once need not
  // come to Read(kStream), and SendData() may go on with what the peer has sent
  // meanwhile, until DataTaken() returns.  One frame at a time in each
  // direction all the same.  While there is no Read() and no Write().
  virtual void Join(std::shared_ptr<SharedDescriptor> socket) = 0;

  // Determined when the call breaks: it was cancelled, its deadline has passed,
  // or the client is lost.  Never by Finish().
  virtual Deferred<> broken() const = 0;

  // Ends the call with `status`, after the frames that were written.  Only the
  // first call counts.  Needed for a broken stream, too.
  virtual void Finish(const absl::Status& status) = 0;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REMOTE_CLIENT_STREAM_H_
