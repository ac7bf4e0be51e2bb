// Reader: buffered reading from a socket (docs/CONFORMANCE.md, C7).
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_NET_READER_H_
#define PORTREEVE_LIB_NET_READER_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/net/buffer_sizes.h"
#include "lib/net/socket.h"

namespace portreeve {

// The reading side of a connection.
//
// End of file is a value, not an error.  A peer's reset, or any other failure
// of recv(2), reads as end of file, and is kept as the socket's reason().
// Closing the Reader or the Writer of a socket closes the socket, and then a
// read in progress, and each later one on an unclosed Reader, gives end of file
// (g3, g5, g6).
//
// Every Read... throws StatusError, FAILED_PRECONDITION "can not read from
// reader", if the Reader is closed ("closed") or another read is in progress
// ("in use": g7); the other read is unharmed.
//
// Cancellation of a Read...: terminal; nothing that arrived is lost, a later
// read gives it.
// Threads: loop thread only.  Lifetime: it must outlive its reads.
class Reader {
 public:
  // `buffer_size` is BufferSizes::reader.
  explicit Reader(std::shared_ptr<SocketCore> socket,
                  size_t buffer_size = BufferSizes().reader);
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // Waits until there is something, and reads at most `buffer`'s size of it.
  // Gives how many bytes that were; 0 is end of file.  `buffer` must not be
  // empty.
  Task<size_t> Read(std::span<char> buffer);

  // Does what Read() does where that does not wait, else gives nullopt.  It is
  // for those who hold no memory while they wait.
  std::optional<size_t> TryRead(std::span<char> buffer);

  // Waits until TryRead() has something to give.
  Task<> WaitUntilReadable();

  // Fills `buffer`, or reads to the end of file.  Gives how many bytes it got.
  Task<size_t> ReadExactly(std::span<char> buffer);

  // Gives what comes before `delimiter`, and consumes that, too; at the end of
  // file it gives what is left, or nullopt if nothing is.  Where more than
  // `max_bytes` come without a delimiter it throws StatusError, OUT_OF_RANGE,
  // and consumes nothing.
  Task<std::optional<std::string>> ReadUntil(char delimiter,
                                             size_t max_bytes = kMaxBytes);

  // Reads until '\n', and leaves out the "\r" of an ending "\r\n".
  Task<std::optional<std::string>> ReadLine(size_t max_bytes = kMaxBytes);

  // Gives everything up to the end of file, and then closes the Reader, as
  // Async's Reader.contents does (f7).  Where more than `max_bytes` come it
  // throws StatusError, OUT_OF_RANGE, and the Reader stays open.
  Task<std::string> ReadAll(size_t max_bytes = kMaxBytes);

  static constexpr size_t kMaxBytes = size_t{1} << 30;

  // Closes the socket, if it is open: one that lingers before its close (see
  // SocketCore::CloseInOrder()) is left alone.  Bytes that the Writer has not
  // flushed are lost, and its monitor gets the error "writer fd unexpectedly
  // closed" (g1).  Idempotent.  The Deferred is determined when the descriptor
  // is closed.
  Deferred<> Close();
  bool is_closed() const { return closed_; }
  Deferred<> close_finished() const { return socket_->closed(); }

  // True once a read met the end of file.
  bool at_eof() const { return at_eof_; }

 private:
  class InUse;

  // Calls recv(2) once.  Gives 0 at the end of file, nullopt where there is
  // nothing yet.
  std::optional<size_t> TryReceive(std::span<char> space);
  Task<> WaitReadable();
  // Appends what there is to buffer_, and waits for the first byte of it.
  // Gives false at the end of file.
  Task<bool> Fill();

  size_t TakeBuffered(std::span<char> space);
  std::string TakeString(size_t size);
  void Consume(size_t size);
  std::string_view buffered() const {
    return std::string_view(buffer_).substr(begin_);
  }

  const std::shared_ptr<SocketCore> socket_;
  const size_t buffer_size_;
  bool closed_ = false;
  bool in_use_ = false;
  bool at_eof_ = false;
  // buffer_[begin_, end) was received and not yet read.  It holds no memory
  // while it is empty.
  std::string buffer_;
  size_t begin_ = 0;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_READER_H_
