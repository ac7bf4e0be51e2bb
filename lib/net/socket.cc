#include "lib/net/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <new>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/guarded.h"
#include "lib/base/socket_calls.h"
#include "lib/net/close_socket.h"

namespace portreeve {
namespace {

AnyAddress LocalAddress(const StreamSocket& socket, const AnyAddress& peer) {
  error_code ec;
  const auto endpoint = socket.local_endpoint(ec);
  if (!ec) return FromEndpoint(endpoint);
  // The peer may be gone already; the kind of address must be right all the
  // same.
  if (std::holds_alternative<Unix::Address>(peer)) return Unix::Address();
  return Inet::Address();
}

void SetIntOption(int fd, int level, int name, int value) {
  (void)setsockopt(fd, level, name, &value, sizeof(value));
}

}  // namespace

SocketCore::SocketCore(Executor executor, StreamSocket socket, AnyAddress peer)
    : executor_(std::move(executor)),
      peer_(std::move(peer)),
      local_(LocalAddress(socket, peer_)),
      socket_(std::move(socket)),
      closed_(executor_) {
  error_code ignored;
  socket_.native_non_blocking(true, ignored);
}

SocketCore::~SocketCore() { CloseNow(); }

void SocketCore::CloseInOrder(TimePoint deadline) {
  if (lingering_) return lingering_->EndBy(deadline);
  if (!is_open()) return;
  if (shared_) shared_->Close();
  // A peer that has ended sends nothing more that could cause a loss.
  if (received_eof_ || KnownFailure() != 0) return CloseNow();
  const int fd = socket_.native_handle();
  const CloseStep begun = std::holds_alternative<Unix::Address>(peer_)
                              ? BeginCloseOfUnix(fd)
                              : BeginCloseOfTcp(fd, bytes_received());
  switch (begun) {
    case CloseStep::kClose:
      return Finish();
    case CloseStep::kFailed:
      NoteError(ECONNRESET);
      NoteReason(CloseReason::kPeerReset);
      return Finish();
    case CloseStep::kLinger:
    case CloseStep::kLingerAfterInput:
      break;
  }
  asio::io_context& loop = LoopOf(executor_);
  try {
    lingering_ = std::make_unique<LingeringSocket>(
        Poller::Of(loop), TimeSource::Of(loop),
        static_cast<LingeringSocket::Owner&>(*this));
  } catch (const std::bad_alloc&) {
    const LingerResult result = LingeringSocket::EndAtOnce(fd, begun);
    return OnLingeringEnded(Release(), result);
  }
  lingering_->Begin(Release(), LingeringSocket::Registered(), begun, deadline);
}

void SocketCore::OnLingeringEnded(Descriptor fd, const LingerResult& result) {
  switch (result.end) {
    case LingerPolicy::End::kPeerReset:
      NoteError(ECONNRESET);
      NoteReason(CloseReason::kPeerReset);
      bytes_lost_ = result.unsent;
      break;
    case LingerPolicy::End::kForced:
      was_reset_ = true;
      OverruleReason(CloseReason::kForced);
      bytes_lost_ = result.unsent;
      break;
    case LingerPolicy::End::kNone:
    case LingerPolicy::End::kAcknowledged:
    case LingerPolicy::End::kPeerEnded:
    case LingerPolicy::End::kLeftToKernel:
      break;
  }
  fd = Descriptor();
  Finish();
}

void SocketCore::CloseNow() {
  if (lingering_) {
    const Descriptor fd = lingering_->Take();
    (void)ShutDownInOrder(fd.get());
  } else if (!is_open()) {
    return;
  } else if (received_eof_) {
    if (shared_) shared_->Close();
    error_code ec;
    socket_.shutdown(asio::socket_base::shutdown_both, ec);
    // The connection is over though neither side has ended it: it was reset.
    if (ec && !fin_sent_) NoteError(ECONNRESET);
  } else {
    if (shared_) shared_->Close();
    if (!ShutDownInOrder(socket_.native_handle())) NoteError(ECONNRESET);
  }
  Finish();
}

void SocketCore::Reset() {
  if (lingering_) {
    const Descriptor fd = lingering_->Take();
    MakeCloseReset(fd.get());
  } else if (is_open()) {
    if (shared_) shared_->Close();
    MakeCloseReset(socket_.native_handle());
  } else {
    return;
  }
  was_reset_ = true;
  Finish();
}

void SocketCore::ResetWithLoss() {
  if (!is_open()) return;
  if (shared_) shared_->Close();
  bytes_lost_ = UnsentBytes(socket_.native_handle());
  Reset();
}

void SocketCore::Finish() {
  lingering_.reset();
  error_code ignored;
  socket_.close(ignored);
  closed_descriptor_ = true;
  try {
    asio::post(executor_, [closed = closed_] { closed.Fill(); });
  } catch (const std::bad_alloc&) {
    closed_.Fill();  // A step earlier.
  }
  for (auto& f : std::exchange(on_closed_, {})) Guarded(f);
}

void SocketCore::ShutdownSend() {
  if (!is_open()) return;
  fin_sent_ = true;
  error_code ignored;
  socket_.shutdown(asio::socket_base::shutdown_send, ignored);
}

Descriptor SocketCore::Release() {
  error_code ignored;
  return Descriptor(socket_.release(ignored));
}

Descriptor SocketCore::LetGo() {
  if (!is_open()) return Descriptor();
  if (shared_) shared_->Close();
  Descriptor fd = Release();
  Finish();
  return fd;
}

const std::shared_ptr<SharedDescriptor>& SocketCore::Share() {
  PORTREEVE_CHECK(is_open());
  if (!shared_) {
    shared_ = std::make_shared<SharedDescriptor>(socket_.native_handle());
  }
  return shared_;
}

void SocketCore::StopSharedReceiving() {
  if (shared_) shared_->StopReceiving();
}

void SocketCore::NoteReason(CloseReason reason) {
  if (reason_ == CloseReason::kNone) reason_ = reason;
}

std::optional<TcpInfo> SocketCore::tcp_info() {
  if (lingering_) return TcpInfoOf(lingering_->fd());
  if (!is_open()) return std::nullopt;
  return TcpInfoOf(socket_.native_handle());
}

bool SocketCore::HasFailed() {
  if (KnownFailure() != 0) return true;
  if (is_open()) NoteError(TakeSocketError(socket_.native_handle()));
  return failure_ != 0;
}

int SocketCore::KnownFailure() {
  if (failure_ == 0 && shared_) NoteError(shared_->failure());
  return failure_;
}

void SocketCore::NoteFailure(ssize_t n) {
  if (n < 0 && !WouldBlock(errno)) NoteError(errno);
}

void SocketCore::NoteError(int error) {
  if (error == EPIPE && fin_sent_) return;  // We have closed that way.
  if (failure_ == 0) failure_ = error;
}

bool SocketCore::HasPeerLeft() {
  if (!is_open()) return KnownFailure() != 0 || received_eof_;
  pollfd now{socket_.native_handle(), POLLRDHUP, 0};
  return poll(&now, 1, 0) > 0;
}

bool SocketCore::HasPeerEnded() {
  if (!is_open()) return false;
  char byte;
  const ssize_t n =
      recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  NoteFailure(n);
  return n == 0 && KnownFailure() == 0;
}

ssize_t SocketCore::Receive(void* data, size_t size) {
  if (!is_open()) {
    errno = EBADF;
    return -1;
  }
  const ssize_t n =
      ReceiveNow(socket_.native_handle(), {static_cast<char*>(data), size});
  NoteFailure(n);
  if (n > 0) bytes_received_ += n;
  if (n != 0) return n;
  if (KnownFailure() != 0) {
    errno = failure_;
    return -1;
  }
  received_eof_ = true;
  return 0;
}

ssize_t SocketCore::Send(const void* data, size_t size) {
  const std::string_view piece(static_cast<const char*>(data), size);
  return Send({&piece, 1});
}

ssize_t SocketCore::Send(std::span<const std::string_view> pieces) {
  if (!is_open()) {
    errno = EBADF;
    return -1;
  }
  const ssize_t n = SendNow(socket_.native_handle(), pieces);
  NoteFailure(n);
  if (n > 0) bytes_sent_ += n;
  return n;
}

int AssignSocket(Descriptor& fd, const AnyAddress& peer, StreamSocket& socket) {
  const auto* const inet = std::get_if<Inet::Address>(&peer);
  const asio::generic::stream_protocol protocol(
      inet != nullptr ? inet->protocol().family() : AF_UNIX, 0);
  error_code ec;
  socket.assign(protocol, fd.get(), ec);
  if (!ec) fd.Release();
  return ec.value();
}

void ApplySocketOptions(int fd, const SocketOptions& options) {
  if (options.no_delay) SetNoDelay(fd);
  SetKeepalive(fd, options);
}

void SetNoDelay(int fd) { SetIntOption(fd, IPPROTO_TCP, TCP_NODELAY, 1); }

void SetKeepalive(int fd, const SocketOptions& options) {
  if (!options.keepalive) return;
  SetIntOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetIntOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, options.keepalive_idle_seconds);
  SetIntOption(fd, IPPROTO_TCP, TCP_KEEPINTVL,
               options.keepalive_interval_seconds);
  SetIntOption(fd, IPPROTO_TCP, TCP_KEEPCNT, options.keepalive_probes);
}

}  // namespace portreeve
