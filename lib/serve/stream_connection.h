// StreamConnection: a connection that is read and written by a coroutine, be it
// accepted or dialled.
#ifndef PORTREEVE_LIB_SERVE_STREAM_CONNECTION_H_
#define PORTREEVE_LIB_SERVE_STREAM_CONNECTION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "lib/base/asio.h"
#include "lib/base/descriptor.h"
#include "lib/net/any_connection.h"
#include "lib/net/buffer_age_limit.h"
#include "lib/net/buffer_sizes.h"
#include "lib/net/close_reason.h"
#include "lib/net/reader.h"
#include "lib/net/socket.h"
#include "lib/net/writer.h"

namespace portreeve {

// What a StreamConnection is at a moment, but for its id and its addresses.
struct FrozenStream {
  int64_t bytes_received = 0;
  int64_t bytes_sent = 0;
  CloseReason reason = CloseReason::kNone;
  BufferAgeLimit buffer_age_limit;
  FrozenWriter writer;

  friend bool operator==(const FrozenStream&, const FrozenStream&) = default;
};

// One connection, from the accept or the connect to the end of both its
// descriptor and whoever uses it.  Those two share it: the server, or the
// dialler, and the coroutine.
// Threads: loop thread only.
class StreamConnection final : public AnyConnection {
 public:
  // With streams, it has a Reader and a Writer; without
  // (Server<A>::CreateSock), the handler uses the socket itself.
  enum class Streams { kYes, kNo };

  StreamConnection(std::shared_ptr<SocketCore> socket, Monitor monitor,
                   Streams streams, const BufferAgeLimit& buffer_age_limit,
                   OnLoss on_loss = OnLoss::kClose,
                   const BufferSizes& buffer_sizes = BufferSizes());
  // Takes over the id of the connection that it replaces, whatever that was.
  StreamConnection(int64_t id, std::shared_ptr<SocketCore> socket,
                   Monitor monitor, const BufferAgeLimit& buffer_age_limit,
                   OnLoss on_loss);

  const AnyAddress& peer() const override { return socket_->peer(); }
  const AnyAddress& local() const override { return socket_->local(); }
  const std::shared_ptr<SocketCore>& socket() const { return socket_; }

  // They CHECK that there are streams.
  Reader& reader();
  Writer& writer();

  int64_t bytes_received() const override { return socket_->bytes_received(); }
  int64_t bytes_sent() const override { return socket_->bytes_sent(); }
  size_t bytes_to_write() const override;
  CloseReason reason() const override { return socket_->reason(); }
  void NoteReason(CloseReason reason) { socket_->NoteReason(reason); }

  Deferred<> Close(ExistingConnections how, CloseReason reason) override;
  void AskTcpInfo(const TakeTcpInfo& take) override {
    take(socket_->tcp_info());
  }
  // Has `f` called, in Close(), whenever that begins to close the connection;
  // null: nothing.
  void SetOnCloseBegun(std::function<void()> f) {
    on_close_begun_ = std::move(f);
  }
  // Notes that bytes for the peer were lost: the reason is FORCED, whatever it
  // was, but for BUFFER_AGE.  It has no effect on a closed connection.
  void NoteLoss();

  // Closes the Reader, if there is one, after the handler has ended: it takes
  // no more reads.
  void CloseReader();

  // How another process goes on with it.  All three CHECK that there are
  // streams; nothing may have been read from the Reader but by TryRead().

  // Gives what it is; nothing changes by that.  Neither side may have closed
  // it.
  FrozenStream Freeze() const;
  // Goes on from there.  Nothing may have been done with it yet.
  void Restore(FrozenStream frozen);
  // Gives the descriptor away: the connection is closed here, and closed()
  // determined, but its peer notices nothing.
  Descriptor LetGo();

  Deferred<> closed() const override { return socket_->closed(); }
  // Is true until the descriptor is closed: the socket may be closed earlier,
  // and linger.
  bool is_open() const override { return !socket_->is_closed(); }

 private:
  void MakeStreams(Monitor monitor, const BufferAgeLimit& buffer_age_limit,
                   OnLoss on_loss, const BufferSizes& buffer_sizes);

  const std::shared_ptr<SocketCore> socket_;
  std::optional<Reader> reader_;
  std::optional<Writer> writer_;
  BufferAgeLimit buffer_age_limit_;
  std::function<void()> on_close_begun_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_SERVE_STREAM_CONNECTION_H_
