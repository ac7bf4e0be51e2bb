// ServedConnection: one accepted client of a server.
#ifndef PORTREEVE_LIB_SERVED_CONNECTION_H_
#define PORTREEVE_LIB_SERVED_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "lib/asio.h"
#include "lib/close_reason.h"
#include "lib/reader.h"
#include "lib/socket.h"
#include "lib/writer.h"

namespace portreeve {

// What becomes of live connections when something above them is closed.
enum class ExistingConnections {
  kLeave,  // They go on.
  kClose,  // What was written is flushed, for at most 30 s, then FIN.
  kReset,  // RST at once.
};

// One accepted client, from the accept to the end of both its handler and its
// descriptor.  The server and the handler's coroutine share it.
// Threads: loop thread only.
class ServedConnection {
 public:
  // With streams, a Reader and a Writer are made; without (create_sock), the
  // handler uses the socket itself.
  enum class Streams { kYes, kNo };

  ServedConnection(std::shared_ptr<SocketCore> socket, Monitor monitor,
                   Streams streams, const BufferAgeLimit& buffer_age_limit);

  // Never used twice in the life of the process; counts from 1.
  int64_t id() const { return id_; }

  const AnyAddress& peer() const { return socket_->peer(); }
  AnyAddress local() const { return socket_->local(); }
  const std::shared_ptr<SocketCore>& socket() const { return socket_; }

  // CHECK that there are streams.
  Reader& reader();
  Writer& writer();

  // Counts and reason; all answer after the close, too.
  int64_t bytes_received() const { return socket_->bytes_received(); }
  int64_t bytes_sent() const { return socket_->bytes_sent(); }
  size_t bytes_to_write() const;
  CloseReason reason() const { return socket_->reason(); }
  void NoteReason(CloseReason reason) { socket_->NoteReason(reason); }

  // Closes it under its handler, which then reads end of file and cannot write
  // any more; the handler is not stopped.  kLeave does nothing.  `reason` is
  // kept unless there is one already.  Gives closed().
  Deferred<> Close(ExistingConnections how, CloseReason reason);

  // Its handler has ended: the Reader, if there is one, takes no more reads.
  void CloseReader();

  // Determined when the descriptor is closed.
  Deferred<> closed() const { return socket_->closed(); }
  bool is_open() const { return socket_->is_open(); }

 private:
  const int64_t id_;
  const std::shared_ptr<SocketCore> socket_;
  std::optional<Reader> reader_;
  std::optional<Writer> writer_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_SERVED_CONNECTION_H_
