// Reader: buffered reading from a socket (SPEC C7).
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
// Threads: loop thread only.  Lifetime: outlives its reads.
class Reader {
 public:
  explicit Reader(std::shared_ptr<SocketCore> socket);
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // Waits until there is something, and gives at most `buffer`'s size of it:
  // how many bytes; 0 is end of file.  `buffer` must not be empty.
  Task<size_t> Read(std::span<char> buffer);

  // Read() where it does not wait, else nullopt: for those who hold no memory
  // while they wait.
  std::optional<size_t> TryRead(std::span<char> buffer);

  // Waits until TryRead() has something to give.
  Task<> WaitUntilReadable();

  // Fills `buffer`, or reads to the end of file: how many bytes it got.
  Task<size_t> ReadExactly(std::span<char> buffer);

  // Up to and without `delimiter`, which is consumed; at the end of file what
  // is left; nullopt if nothing is.  More than `max_bytes` without a delimiter:
  // StatusError, OUT_OF_RANGE, and nothing is consumed.
  Task<std::optional<std::string>> ReadUntil(char delimiter,
                                             size_t max_bytes = kMaxBytes);

  // ReadUntil '\n', without the "\r" of an ending "\r\n".
  Task<std::optional<std::string>> ReadLine(size_t max_bytes = kMaxBytes);

  // Everything up to the end of file, and then closes the Reader, as Async's
  // Reader.contents does (f7).  More than `max_bytes`: StatusError,
  // OUT_OF_RANGE; the Reader stays open.
  Task<std::string> ReadAll(size_t max_bytes = kMaxBytes);

  static constexpr size_t kMaxBytes = size_t{1} << 30;

  // Closes the socket, if it is open: one that lingers before its close (see
  // SocketCore::CloseInOrder()) is left alone.  Bytes that the Writer has not
  // flushed are lost, and its monitor is told "writer fd unexpectedly closed"
  // (g1).  Idempotent.  Determined when the descriptor is closed.
  Deferred<> Close();
  bool is_closed() const { return closed_; }
  Deferred<> close_finished() const { return socket_->closed(); }

  // True once a read met the end of file.
  bool at_eof() const { return at_eof_; }

 private:
  class InUse;

  // One recv(2): 0 at the end of file, nullopt where there is nothing yet.
  std::optional<size_t> TryReceive(std::span<char> space);
  Task<> WaitReadable();
  // Appends what there is to buffer_, waiting for the first byte; false at the
  // end of file.
  Task<bool> Fill();

  size_t TakeBuffered(std::span<char> space);
  std::string TakeString(size_t size);
  void Consume(size_t size);
  std::string_view buffered() const {
    return std::string_view(buffer_).substr(begin_);
  }

  const std::shared_ptr<SocketCore> socket_;
  bool closed_ = false;
  bool in_use_ = false;
  bool at_eof_ = false;
  // Received and not yet read: buffer_[begin_, end).  Holds no memory while
  // empty.
  std::string buffer_;
  size_t begin_ = 0;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_READER_H_
