#include "server/stream_session.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "lib/peer_reset.h"
#include "lib/status.h"
#include "server/claim.h"
#include "server/convert.h"
#include "server/errors.h"

namespace portreeve::server {
namespace {

// How much is kept, about, of data that had arrived before the peer's reset,
// while the client does not read.
constexpr size_t kMaxTailBytes = 128 * 1024;

Task<> Await(Deferred<> deferred) { co_await deferred.Wait(); }

v1::ServerFrame EofFrame() {
  v1::ServerFrame frame;
  frame.mutable_eof();
  return frame;
}

class Session {
 public:
  Session(std::shared_ptr<ClientStream> stream,
          std::shared_ptr<ServedConnection> connection,
          StreamSessionOptions options)
      : stream_(std::move(stream)),
        connection_(std::move(connection)),
        options_(std::move(options)) {}

  Task<> Run() {
    using namespace asio::experimental::awaitable_operators;  // NOLINT
    v1::ServerFrame opened;
    *opened.mutable_opened()->mutable_connection() = options_.describe();
    // Small enough to need no client that reads.
    co_await stream_->Write(std::move(opened));
    if (is_open()) stream_->Join(connection_->socket()->Share());
    // Whatever ends the exchange, the connection's end ends it all.
    co_await ((PumpUp() && PumpDown() && WatchStream() && WatchPeer()) ||
              Await(connection_->closed()));
    End(nullptr);
    co_await Conclude();
  }

  void Abandon() {
    connection_->Close(ExistingConnections::kReset, options_.broken);
    End(nullptr);
    stream_->Finish(absl::InternalError("the connection was given up"));
  }

 private:
  bool stream_is_usable() const {
    return violation_.ok() && !stream_->broken().determined();
  }

  void End(std::exception_ptr error) {
    if (std::exchange(ended_, true)) return;
    options_.on_end(error);
  }

  // From the client to the peer, one frame at a time.
  Task<> PumpUp() {
    while (true) {
      std::optional<ClientMessage> message = co_await stream_->Read();
      if (!message) break;
      violation_ =
          message->data ? TakeData(*message->data) : TakeFrame(message->frame);
      if (!violation_.ok()) {
        OnViolation();
        co_return;
      }
      message.reset();  // The Writer has a copy of what the kernel has not.
      if (connection_->bytes_to_write() > 0) {
        const Deferred<FlushResult> flushed = connection_->writer().Flushed();
        co_await flushed.Wait();
      }
      // Else a peer that does not read would have one whole frame wait here,
      // beside the stream's window.
      co_await connection_->socket()->WaitWritable();
    }
    if (!stream_is_usable()) co_return;
    client_ended_ = true;
    HalfClose();
    if (peer_eof_delivered_) End(nullptr);
  }

  absl::Status TakeFrame(const v1::ClientFrame& frame) {
    switch (frame.kind_case()) {
      case v1::ClientFrame::kData:
        return TakeData({{frame.data()}, nullptr});
      case v1::ClientFrame::kEof:
        HalfClose();
        return absl::OkStatus();
      case v1::ClientFrame::kDone:
        NotePeersEnd();
        End(nullptr);
        return absl::OkStatus();
      case v1::ClientFrame::kReset:
        NotePeersEnd();
        connection_->Close(ExistingConnections::kReset,
                           CloseReason::kHandlerDone);
        End(nullptr);
        return absl::OkStatus();
      case v1::ClientFrame::kRaised:
        NotePeersEnd();
        End(std::make_exception_ptr(HandlerRaised(frame.raised().message())));
        return absl::OkStatus();
      case v1::ClientFrame::kAttach:
        return InvalidField("attach", "only the first frame may be `attach`");
      case v1::ClientFrame::kDial:
        return InvalidField("dial", "only the first frame may be `dial`");
      case v1::ClientFrame::KIND_NOT_SET:
        break;
    }
    return InvalidMessage("a frame must have one of its kinds set");
  }

  // What the client does next may be an answer to what the peer did after its
  // end, carried by other threads while this one has not read the end yet: the
  // end was first.
  void NotePeersEnd() {
    if (connection_->socket()->HasPeerEnded()) {
      connection_->NoteReason(CloseReason::kPeerClosed);
    }
  }

  absl::Status TakeData(const ReceivedData& data) {
    if (eof_ || ended_by_client()) {
      return InvalidField("data", "nothing may follow `eof` and `done`");
    }
    if (data.size() > kMaxClientDataBytes) {
      return InvalidField("data",
                          absl::StrCat("at most ", kMaxClientDataBytes,
                                       " bytes, but it has ", data.size()));
    }
    // Closed under the client, which `closed` will tell.
    if (!connection_->writer().is_closed()) {
      connection_->writer().WriteNow(data.pieces);
    }
    return absl::OkStatus();
  }

  // The connection's own end is not the client's fault.
  bool ended_by_client() const { return ended_ && !closed_under_client(); }
  bool closed_under_client() const { return !is_open(); }
  // The connection itself stays until what was written has arrived.
  bool is_open() const { return connection_->socket()->is_open(); }

  void HalfClose() {
    if (std::exchange(eof_, true)) return;
    if (!connection_->writer().is_closed()) connection_->writer().HalfClose();
  }

  void OnViolation() {
    connection_->Close(ExistingConnections::kReset, options_.broken);
    End(nullptr);
  }

  // From the peer to the client.
  Task<> PumpDown() {
    Reader& reader = connection_->reader();
    const auto try_read = [&reader](std::span<char> space) {
      return reader.TryRead(space);
    };
    while (is_open()) {
      std::optional<DataBlock> data = ReceiveBlock(try_read);
      if (!data) {
        co_await reader.WaitUntilReadable();
        continue;
      }
      if (data->data().empty()) break;
      stream_->SendData(*std::move(data));
      // Nobody need be woken when it was taken, as long as there is no more.
      co_await reader.WaitUntilReadable();
      if (!co_await stream_->DataTaken()) co_return;
    }
    if (connection_->reason() == CloseReason::kPeerReset) {
      connection_->Close(ExistingConnections::kReset, CloseReason::kPeerReset);
    }
    // Closed, its Reader gives an end that is not the peer's.
    if (!is_open()) co_return;
    eof_sent_ = true;
    v1::ServerFrame eof = EofFrame();
    if (!co_await stream_->Write(std::move(eof))) co_return;
    peer_eof_delivered_ = true;
    if (client_ended_) End(nullptr);
  }

  // A stream that breaks must not pass for one that has ended; but one whose
  // client was through has nothing left to lose.
  Task<> WatchStream() {
    co_await Await(stream_->broken());
    if (ended_) co_return;
    connection_->Close(ExistingConnections::kReset, options_.broken);
    End(nullptr);
  }

  // A peer that has reset is noticed, and its descriptor free, even while the
  // client does not read; what it had sent is kept for the client.
  Task<> WatchPeer() {
    SocketCore& socket = *connection_->socket();
    co_await PeerReset(socket);
    // What the stream has taken goes before what is left.
    socket.StopSharedReceiving();
    const auto space =
        std::make_unique_for_overwrite<char[]>(kMaxServerDataBytes);
    while (tail_.size() < kMaxTailBytes) {
      const ssize_t n = socket.Receive(space.get(), kMaxServerDataBytes);
      if (n <= 0) break;
      tail_.append(space.get(), static_cast<size_t>(n));
    }
    connection_->Close(ExistingConnections::kReset, CloseReason::kPeerReset);
  }

  // The descriptor is closed.
  Task<> Conclude() {
    if (!violation_.ok()) {
      stream_->Finish(violation_);
      co_return;
    }
    for (size_t at = 0; at < tail_.size(); at += kMaxServerDataBytes) {
      DataBlock data(std::string_view(tail_).substr(at, kMaxServerDataBytes));
      stream_->SendData(std::move(data));
      (void)co_await stream_->DataTaken();
    }
    const CloseReason reason = connection_->reason();
    const bool peer_ended =
        reason == CloseReason::kPeerReset || reason == CloseReason::kPeerClosed;
    if (peer_ended && !eof_sent_) {
      v1::ServerFrame eof = EofFrame();
      co_await stream_->Write(std::move(eof));
    }
    v1::ServerFrame closed;
    closed.mutable_closed()->set_reason(ToProto(reason));
    const bool told = co_await stream_->Write(std::move(closed));
    stream_->Finish(told ? absl::OkStatus()
                         : absl::CancelledError("the client is gone"));
  }

  const std::shared_ptr<ClientStream> stream_;
  const std::shared_ptr<ServedConnection> connection_;
  const StreamSessionOptions options_;
  absl::Status violation_;           // Of the client, against the contract.
  bool eof_ = false;                 // The client sends no more.
  bool client_ended_ = false;        // ... for it has ended its stream.
  bool eof_sent_ = false;            // To the client.
  bool peer_eof_delivered_ = false;  // ... and it was taken.
  bool ended_ = false;
  std::string tail_;
};

}  // namespace

Task<> ServeStream(std::shared_ptr<ClientStream> stream,
                   std::shared_ptr<ServedConnection> connection,
                   StreamSessionOptions options) {
  Session session(std::move(stream), std::move(connection), std::move(options));
  std::exception_ptr error;
  try {
    co_await session.Run();
  } catch (...) {
    error = std::current_exception();
  }
  if (!error) co_return;
  session.Abandon();
  std::rethrow_exception(error);
}

}  // namespace portreeve::server
