// Writer: buffered writing to a socket (docs/CONFORMANCE.md, C8).
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_NET_WRITER_H_
#define PORTREEVE_LIB_NET_WRITER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/monitor.h"
#include "lib/base/time_source.h"
#include "lib/net/buffer_age_limit.h"
#include "lib/net/frozen_writer.h"
#include "lib/net/socket.h"

namespace portreeve {

enum class FlushResult {
  kFlushed,  // The kernel has every byte written before the call.
  kLost,     // The socket was closed, or failed, before that.
};

// How a connection is ended when bytes are lost because they did not reach the
// peer within the buffer age limit, or the time that a close has.
enum class OnLoss {
  kClose,  // In order: the peer gets what the kernel holds, and end of file.
  kReset,  // So that what is cut does not look whole.
};

struct WriterOptions {
  // At the limit the Writer fails with DEADLINE_EXCEEDED "writer buffer has
  // data older than LIMIT" and the socket is closed; never earlier, at most 100
  // ms later (h1-h8).  The text never holds data.
  BufferAgeLimit buffer_age_limit;

  // Whether a peer that has left is an error for the monitor (connect and
  // with_connection: f8, g9) or only determines consumer_left (servers: S9).
  // Whoever writes to a peer that has left cannot know it, and gets no error.
  bool raise_when_consumer_leaves = true;

  OnLoss on_loss = OnLoss::kClose;

  // BufferSizes::writer.
  size_t buffer_size = 0;
};

// The writing side of a connection.
//
// States: open; closing (flushing; writes are still taken and flushed: g4);
// closed.  A failed Writer (the peer left, the age limit, the descriptor
// closed under it) is closed at once; its error goes to its Monitor.  Where a
// peer that has left is no error, what is written afterwards is dropped.
//
// Threads: loop thread only.
// Lifetime: it may be destroyed at any time; bytes that are not flushed then
// are lost like those of a Writer whose descriptor was closed.
class Writer {
 public:
  // `monitor` gets the errors that come up in the background.
  Writer(std::shared_ptr<SocketCore> socket, Monitor monitor,
         WriterOptions options);
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer();

  // Copies `data` and sends it in a later step of the loop; never blocks.
  // Throws StatusError, FAILED_PRECONDITION "attempt to use closed writer",
  // once the Writer is closed; but where only a peer that has left has closed
  // it, which is not to be raised, `data` is dropped.
  void Write(std::string_view data);

  // Writes `pieces`, in order, as Write() does, but gives the kernel at once
  // what it takes, if nothing waits before them, and copies only the rest.  A
  // peer that has left is noticed in this call.
  void WriteNow(std::span<const std::string_view> pieces);

  // Lets bytes wait here and not in the kernel, from now on until Close() or
  // HalfClose(): the kernel is given none while it has much that it has not
  // sent (HasLittleUnsent()).  So their age counts, whatever the kernel would
  // take.
  void HoldBack();

  // The Deferred is determined when the kernel has all that was written before
  // this call, but for `all_but` bytes, or when that can no longer be, as for
  // dropped bytes.
  Deferred<FlushResult> Flushed(size_t all_but = 0);

  // Gives how many bytes were written and not yet taken by the kernel.
  size_t bytes_to_write() const;

  // How long Close() waits for the flush where a program closes a Writer itself
  // (CONFORMANCE g8).
  static constexpr std::chrono::seconds kForceCloseDefault{5};

  // Flushes, and closes the socket in order (SocketCore::CloseInOrder()):
  // within the call where nothing is unread, unflushed, or unsent by the
  // kernel.  After `force_close_after`, or the smallest of several calls', what
  // is not flushed is lost (`on_loss`), and the socket's reason is FORCED.
  // Idempotent.  Gives close_finished().
  Deferred<> Close(Duration force_close_after = kForceCloseDefault);

  // Throws away what is not flushed and resets the connection; no error is
  // reported.  Flushed() gives kLost.  It has no effect once the socket is
  // closed.
  void Abort();

  // Is true from the first Close(), Abort() or failure on.
  bool is_closed() const;
  // Determined when the descriptor is closed.
  Deferred<> close_finished() const;

  // Flushes, then sends FIN; reading goes on (half-close).  The Writer then
  // refuses writes as a closed one, but the socket stays open until Close().
  void HalfClose();

  // Whether HalfClose() was called, and the FIN is sent.
  bool has_sent_end() const;

  // Whether HalfClose() was called, be it here or where it was frozen.
  bool is_half_closed() const;

  // Determined when a write failed because the peer has left.
  Deferred<> consumer_left() const;

  // Gives what another Writer needs to go on; nothing changes by that.  It must
  // not be closed.
  FrozenWriter Freeze() const;
  // Goes on from there, on a Writer that was not used yet.
  void Restore(FrozenWriter frozen);
  // Forgets what waits, which is not lost: another process goes on with it. The
  // Writer is closed, and the socket's descriptor has to be given away next.
  void LetGo();

 private:
  class State;
  const std::shared_ptr<State> state_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_WRITER_H_
