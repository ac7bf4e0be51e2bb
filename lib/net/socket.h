// Socket<A>: one connected stream socket of a known kind of address.
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_NET_SOCKET_H_
#define PORTREEVE_LIB_NET_SOCKET_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/descriptor.h"
#include "lib/base/time_source.h"
#include "lib/net/address.h"
#include "lib/net/close_reason.h"
#include "lib/net/lingering_socket.h"
#include "lib/net/shared_descriptor.h"
#include "lib/net/tcp_info.h"

namespace portreeve {

// What a Socket, its Reader and its Writer share: the descriptor, what has
// gone through it, and how it ended.  The kind of address does not matter here.
// Use it through Socket<A>, except where code serves both kinds.
//
// Threads: loop thread only.
class SocketCore final : private LingeringSocket::Owner {
 public:
  // Takes the open, connected `socket`, which becomes non-blocking.
  SocketCore(Executor executor, StreamSocket socket, AnyAddress peer);
  SocketCore(const SocketCore&) = delete;
  SocketCore& operator=(const SocketCore&) = delete;
  ~SocketCore();  // Closes the descriptor, if it is open.

  StreamSocket& socket() { return socket_; }
  const Executor& executor() const { return executor_; }

  // True until it is closed in any way.
  bool is_open() const { return socket_.is_open(); }
  // Whether the descriptor is closed: after CloseInOrder() perhaps later.
  bool is_closed() const { return closed_descriptor_; }

  const AnyAddress& peer() const { return peer_; }
  // Answers after the close, too.
  const AnyAddress& local() const { return local_; }

  // Closes with the promise that the peer gets what was sent, then end of file.
  // It sends FIN, and closes the descriptor: within the call where no byte was
  // left unread and the kernel has sent all.  Else what comes is thrown away
  // until the peer has acknowledged all, has ended or reset the connection, or
  // until `deadline`: then a peer that has sent meanwhile is reset, and where
  // bytes were lost the reason is FORCED.  The earliest of several deadlines
  // holds.  Every operation that waits on the socket ends within the call.
  void CloseInOrder(TimePoint deadline);

  // Sends FIN and receives no more, then closes the descriptor: the peer gets
  // what the kernel holds, then end of file, even where input is left unread,
  // but it may be reset before that where it sends on.  Every operation that
  // waits on the socket ends.  Idempotent.
  void CloseNow();

  // Closes with a reset (TCP): the peer gets ECONNRESET and what the kernel
  // held is thrown away.  A unix socket has no reset; it is closed.
  void Reset();
  bool was_reset() const { return was_reset_; }
  // Does the same where time is up for what was written: bytes_sent() then
  // leaves out what the kernel has not sent.
  void ResetWithLoss();

  // Sends FIN.  Reading goes on.  It has no effect on a closed socket.
  void ShutdownSend();

  // Gives the open descriptor away.  It is not closed, and closed() is not
  // determined.
  Descriptor Release();

  // Gives the open descriptor to somebody who goes on with it in another
  // process, or -1 where it is closed: here it is closed from now on, and
  // closed() determined, but nothing is done to the socket.  Every operation
  // that waits on it ends.
  Descriptor LetGo();

  // Counts go on from there, on a socket that somebody else has had.
  void RestoreCounts(int64_t bytes_received, int64_t bytes_sent) {
    bytes_received_ = bytes_received;
    bytes_sent_ = bytes_sent;
  }

  // Determined in a later step than the one that closed the descriptor.
  Deferred<> closed() const { return closed_.deferred(); }

  // Has `f` called after the descriptor is closed, in the same step.
  void OnClosed(std::function<void()> f) { on_closed_.push_back(std::move(f)); }

  // Keeps `reason` as what ended the connection, unless an earlier one is
  // known: the first cause wins.
  void NoteReason(CloseReason reason);

  // Keeps `reason` whatever the reason was.  It is for bytes that were lost.
  void OverruleReason(CloseReason reason) { reason_ = reason; }

  CloseReason reason() const { return reason_; }

  // Whether the peer has reset the connection, or it failed otherwise.  The
  // kernel says so once, to whoever asks first; this says so each time.
  bool HasFailed();

  // Gives the errno of the failure that anybody has met so far, without asking
  // the kernel; 0 if there was none.
  int KnownFailure();
  // Keeps that the socket has failed with `error`, which the kernel has given
  // to somebody else.
  void NoteError(int error);

  // Whether the peer has ended or reset the connection, which the kernel says
  // as often as it is asked.  For a closed socket the answer is what was known
  // by the close.
  bool HasPeerLeft();

  // Gives what the kernel knows of a TCP socket, while the descriptor is open,
  // also where it lingers.
  std::optional<TcpInfo> tcp_info();

  // Give how many payload bytes were read from and given to the kernel, without
  // those of which CloseInOrder() or ResetWithLoss() found that they are lost.
  int64_t bytes_received() const {
    return bytes_received_ + (shared_ ? shared_->bytes_received() : 0);
  }
  int64_t bytes_sent() const {
    return bytes_sent_ + (shared_ ? shared_->bytes_sent() : 0) - bytes_lost_;
  }

  // Whether the peer has sent FIN, and all that came before it was received, on
  // a connection that has not failed.  It consumes nothing.
  bool HasPeerEnded();

  // Gives the descriptor for other threads, which may receive and send while
  // nothing here does; it is the same each time.  The socket must be open.  The
  // descriptor is closed for them before it is closed here, and what they carry
  // is counted here.
  const std::shared_ptr<SharedDescriptor>& Share();

  // Ends receiving through what Share() gave: no thread does from now on.
  void StopSharedReceiving();

  // Call recv(2) and send(2), non-blocking and without signals, and count.
  // They give what the system calls give: -1 with errno, also EBADF once
  // closed.  A reset is never received as an end: once a failure is known,
  // whoever met it, Receive() gives what had arrived, and then -1 and that
  // error.
  ssize_t Receive(void* data, size_t size);
  ssize_t Send(const void* data, size_t size);
  // Sends several pieces as one, kMostPieces at most.
  ssize_t Send(std::span<const std::string_view> pieces);

 private:
  // LingeringSocket::Owner.
  void OnLingeringEnded(Descriptor fd, const LingerResult& result) override;

  void Finish();
  // Takes the `n` of a recv(2) or send(2), before errno changes.
  void NoteFailure(ssize_t n);

  const Executor executor_;
  const AnyAddress peer_;
  const AnyAddress local_;
  StreamSocket socket_;
  std::shared_ptr<SharedDescriptor> shared_;  // Null unless Share() was called.
  std::unique_ptr<LingeringSocket> lingering_;  // While it does.
  const Ivar<> closed_;
  std::vector<std::function<void()>> on_closed_;
  CloseReason reason_ = CloseReason::kNone;
  bool closed_descriptor_ = false;
  bool received_eof_ = false;
  bool was_reset_ = false;
  int failure_ = 0;  // An errno, the first that was seen.
  bool fin_sent_ = false;
  int64_t bytes_received_ = 0;
  int64_t bytes_sent_ = 0;
  int64_t bytes_lost_ = 0;
};

// Has `socket` own `fd`, a connected socket to `peer`, and its loop watch it.
// Gives 0; or an errno, and does neither.
int AssignSocket(Descriptor& fd, const AnyAddress& peer, StreamSocket& socket);

// A handle on a connected socket; copies are the same socket.  It is closed by
// whoever gave it out (with_connection, the server), by CloseNow(), or when the
// last handle goes.
template <AddressKind A>
class Socket {
 public:
  explicit Socket(std::shared_ptr<SocketCore> core) : core_(std::move(core)) {}

  typename A::Address peer_address() const {
    return std::get<typename A::Address>(core_->peer());
  }
  typename A::Address local_address() const {
    return std::get<typename A::Address>(core_->local());
  }

  // Gives the Asio socket, for reads and writes of one's own.  What goes
  // through it directly is not counted.  It must not be used together with a
  // Reader or Writer on it.
  StreamSocket& asio_socket() const { return core_->socket(); }
  int native_handle() const { return core_->socket().native_handle(); }

  bool is_open() const { return core_->is_open(); }
  void CloseNow() const {
    if (is_open()) core_->CloseNow();  // Not while it lingers.
  }
  void Reset() const { core_->Reset(); }
  void ShutdownSend() const { core_->ShutdownSend(); }
  Deferred<> closed() const { return core_->closed(); }
  CloseReason reason() const { return core_->reason(); }

  const std::shared_ptr<SocketCore>& core() const { return core_; }

 private:
  std::shared_ptr<SocketCore> core_;
};

// What is set on every accepted and connected socket.
struct SocketOptions {
  // TCP_NODELAY.
  bool no_delay = true;
  // TCP keepalive (S14), so that dead peers are found: after
  // `keepalive_idle_seconds` of silence `keepalive_probes` probes are sent,
  // `keepalive_interval_seconds` apart.
  bool keepalive = true;
  int keepalive_idle_seconds = 60;
  int keepalive_interval_seconds = 15;
  int keepalive_probes = 4;
};

// Sets `options` on a TCP socket; does nothing to others.
// Failures are ignored: the peer may have gone already.
void ApplySocketOptions(int fd, const SocketOptions& options);

// Set one part of the options each.  What is accepted inherits the keepalive
// from its listening socket.
void SetNoDelay(int fd);
void SetKeepalive(int fd, const SocketOptions& options);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_SOCKET_H_
