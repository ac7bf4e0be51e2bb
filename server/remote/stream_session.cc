#include "server/remote/stream_session.h"

#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "lib/base/guarded.h"
#include "lib/base/latch.h"
#include "lib/base/status.h"
#include "lib/base/task_scope.h"
#include "lib/net/peer_reset.h"
#include "server/api/convert.h"
#include "server/api/errors.h"
#include "server/remote/claim.h"
#include "server/remote/stream_policy.h"

namespace portreeve::server {
namespace {

// How much is kept, about, of data that had arrived before the peer's reset,
// while the client does not read.
constexpr size_t kMaxTailBytes = 128 * 1024;

v1::ServerFrame EofFrame(bool is_reset = false) {
  v1::ServerFrame frame;
  frame.mutable_eof()->set_reset(is_reset);
  return frame;
}

absl::Status AfterTheEnd() {
  return InvalidField("data", "nothing may follow `eof` and `done`");
}

// Gives what is wrong with `message`, whatever came before it.
absl::Status Check(const ClientMessage& message) {
  if (message.data && message.data->size() > kMaxClientDataBytes) {
    return InvalidField(
        "data", absl::StrCat("at most ", kMaxClientDataBytes,
                             " bytes, but it has ", message.data->size()));
  }
  if (message.data) return absl::OkStatus();
  switch (message.frame.kind_case()) {
    case v1::ClientFrame::kAttach:
      return InvalidField("attach", "only the first frame may be `attach`");
    case v1::ClientFrame::kDial:
      return InvalidField("dial", "only the first frame may be `dial`");
    case v1::ClientFrame::KIND_NOT_SET:
      return InvalidMessage("a frame must have one of its kinds set");
    default:
      return absl::OkStatus();
  }
}

// Gives the kind of a message that Check() has found right.
StreamPolicy::Frame KindOf(const ClientMessage& message) {
  if (message.data) return StreamPolicy::Frame::kData;
  switch (message.frame.kind_case()) {
    case v1::ClientFrame::kEof:
      return StreamPolicy::Frame::kEof;
    case v1::ClientFrame::kDone:
      return StreamPolicy::Frame::kDone;
    case v1::ClientFrame::kReset:
      return StreamPolicy::Frame::kReset;
    case v1::ClientFrame::kRaised:
      return StreamPolicy::Frame::kRaised;
    default:
      return StreamPolicy::Frame::kNonsense;
  }
}

// Does what StreamPolicy says.
class Session {
 public:
  Session(std::shared_ptr<ClientStream> stream,
          std::shared_ptr<StreamConnection> connection,
          StreamSessionOptions options)
      : stream_(std::move(stream)),
        connection_(std::move(connection)),
        options_(std::move(options)),
        policy_(options_.broken, connection_->writer().is_half_closed()),
        given_up_(GivenUp()) {
    connection_->SetOnCloseBegun([this] {
      if (holder_) holder_->FillIfEmpty();
    });
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() { connection_->SetOnCloseBegun(nullptr); }

  Task<> Run() {
    stream_->BeginConnection();
    v1::ServerFrame opened;
    *opened.mutable_opened()->mutable_connection() = options_.describe();
    // This is small enough to need no client that reads.
    co_await stream_->Write(std::move(opened));
    writer().HoldBack();
    if (socket().is_open()) stream_->Join(socket().Share());
    co_await Carry();
    if (told_moved_) {
      if (Leave()) co_return;
      co_await Await(connection_->closed());
    }
    Do(policy_.OnClosed());
    co_await Conclude();
  }

  // None of it may keep the rest from being done.
  void Abandon() {
    Guarded([this] {
      connection_->Close(ExistingConnections::kReset, options_.broken);
    });
    Guarded([this] { Do(policy_.OnClosed()); });
    Guarded([this] { stream_->Finish(given_up_); });
  }

 private:
  static const absl::Status& GivenUp() {
    static const auto* const given_up =
        new absl::Status(absl::InternalError("the connection was given up"));
    return *given_up;
  }

  SocketCore& socket() { return *connection_->socket(); }
  Writer& writer() { return connection_->writer(); }

  // Does all of `action` but its frames.
  void Do(const StreamPolicy::Action& action,
          const std::string& error = std::string()) {
    if (action.half_close) writer().HalfClose();
    if (action.close != StreamPolicy::Close::kNo) {
      connection_->Close(action.close == StreamPolicy::Close::kReset
                             ? ExistingConnections::kReset
                             : ExistingConnections::kClose,
                         action.reason);
    }
    if (action.end == StreamPolicy::End::kDone) options_.on_end(nullptr);
    if (action.end == StreamPolicy::End::kRaised) {
      options_.on_end(std::make_exception_ptr(HandlerRaised(error)));
    }
  }

  // What others do with the connection shows only when one looks.
  void LookAtConnection() {
    if (writer().is_closed() || !socket().is_open()) policy_.OnCloseBegun();
  }

  // Carries until the connection is closed, or whoever carries have all ended,
  // or one of them fails, be it for want of memory.  All have ended then.
  Task<> Carry() {
    const Executor executor = co_await asio::this_coro::executor;
    const Ivar<> over(executor);
    Latch joined(executor);
    Latch down_joined(executor);
    TaskScope carriers(executor);
    TaskScope down(executor);
    int num_left = 4;
    std::exception_ptr error;
    const auto on_exit = [&](std::exception_ptr e) {
      if (e && !error && !over.determined()) error = e;
      if (--num_left == 0 || e || MayLeave()) over.FillIfEmpty();
    };
    const auto on_down_exit = [&](std::exception_ptr e) {
      on_exit(down.cancelled() && e && IsCancelled(e) ? nullptr : e);
    };
    // A cancellation is thrown once all are joined.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto state = co_await asio::this_coro::cancellation_state;
    try {
      connection_->closed().Upon([over] { over.FillIfEmpty(); });
      if (options_.mover != nullptr) {
        ++num_left;
        carriers.Spawn(AwaitMove(down), on_exit);
      }
      carriers.Spawn(PumpUp(), on_exit);
      down.Spawn(PumpDown(), on_down_exit);
      carriers.Spawn(WatchStream(), on_exit);
      carriers.Spawn(WatchPeer(), on_exit);
      if (state.cancelled() == asio::cancellation_type::none) {
        const auto [ec] = co_await over.deferred().Wait(kTuple);
        if (ec == asio::error::no_memory) throw std::bad_alloc();
      }
    } catch (...) {
      if (!error) error = std::current_exception();
    }
    over.FillIfEmpty();
    carriers.Cancel();
    carriers.OpenWhenEmpty(joined);  // They refer to this.
    co_await joined.Wait();
    down.Cancel();
    down.OpenWhenEmpty(down_joined);
    co_await down_joined.Wait();
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (error) std::rethrow_exception(error);
    if (state.cancelled() != asio::cancellation_type::none) {
      throw boost::system::system_error(asio::error::operation_aborted);
    }
  }

  // Whether the connection can go to the daemon's next process.
  bool MayLeave() const { return told_moved_ && policy_.may_leave(); }

  // Tells the client to move, once there is where to.
  Task<> AwaitMove(TaskScope& down) {
    co_await Await(options_.mover->begun());
    LookAtConnection();
    if (!policy_.OnMove()) co_return;
    if (holder_) holder_->FillIfEmpty();
    // What was received is on its way to the client, and nothing else will be.
    socket().StopSharedReceiving();
    down.Cancel();
    co_await down.Join();
    v1::ServerFrame moved;
    moved.mutable_moved();
    told_moved_ = co_await stream_->Write(std::move(moved));
  }

  // Gives the connection away; false where it has to end here, which has then
  // begun.
  bool Leave() {
    LookAtConnection();
    // The kernel tells of a reset once.
    if (connection_->is_open() && socket().HasFailed()) {
      TakeTail();
      Do(policy_.OnPeerReset());
      return false;
    }
    if (!policy_.may_leave()) return false;
    if (!options_.mover->Move(connection_->id())) {
      connection_->Close(ExistingConnections::kReset, CloseReason::kShutdown);
      return false;
    }
    stream_->EndConnection();
    options_.on_end(nullptr);
    stream_->Finish(absl::OkStatus());
    return true;
  }

  // Carries frames from the client to the peer.
  Task<> PumpUp() {
    while (policy_.may_read()) {
      const bool nothing_waits = connection_->bytes_to_write() == 0;
      const auto carrier = nothing_waits && policy_.takes_data()
                               ? ClientStream::Carrier::kStream
                               : ClientStream::Carrier::kCaller;
      std::optional<ClientMessage> message = co_await stream_->Read(carrier);
      if (stream_->broken().determined()) co_return;
      LookAtConnection();
      if (!message) {
        Do(policy_.OnStreamEnd());
        co_return;
      }
      const size_t size = Take(*std::move(message));
      if (!policy_.is_held()) continue;
      co_await AwaitBegun(size);
    }
  }

  // Waits until the kernel has begun to take the last frame, of `size` bytes,
  // or others close the connection.
  Task<> AwaitBegun(size_t size) {
    const Deferred<FlushResult> begun = writer().Flushed(size - 1);
    const Ivar<> holder(socket().executor());
    begun.Upon([holder](const FlushResult&) { holder.FillIfEmpty(); });
    holder_ = holder;
    co_await holder.deferred().Wait();
    holder_.reset();
    if (begun.determined()) {
      policy_.OnBegun();
    } else {
      LookAtConnection();  // Unless it moves.
    }
  }

  // Takes a message, and gives how many bytes of data it has brought.
  size_t Take(ClientMessage message) {
    if (message.frame.has_data()) {
      const auto data =
          std::make_shared<const std::string>(message.frame.data());
      message.data = ReceivedData{{*data}, data};
    }
    const absl::Status error = Check(message);
    const auto kind =
        error.ok() ? KindOf(message) : StreamPolicy::Frame::kNonsense;
    const bool is_end = kind == StreamPolicy::Frame::kDone ||
                        kind == StreamPolicy::Frame::kReset ||
                        kind == StreamPolicy::Frame::kRaised;
    if (is_end) NotePeersEnd();
    const StreamPolicy::Action action = policy_.OnFrame(kind);
    if (policy_.has_failed()) violation_ = error.ok() ? AfterTheEnd() : error;
    Do(action, message.frame.raised().message());
    if (action.lost && message.data->size() > 0) connection_->NoteLoss();
    if (!action.write) return 0;
    const size_t size = message.data->size() + message.data->removed;
    writer().WriteNow(message.data->pieces);
    policy_.OnWritten(size, writer().bytes_to_write());
    return size;
  }

  // Notes the peer's end where it was first: what the client does next may be
  // an answer to it, which other threads have carried while this one has not
  // read that end yet.
  void NotePeersEnd() {
    if (socket().HasPeerEnded()) {
      connection_->NoteReason(CloseReason::kPeerClosed);
    }
  }

  // Carries bytes from the peer to the client.
  Task<> PumpDown() {
    Reader& reader = connection_->reader();
    const auto try_read = [&reader](std::span<char> space) {
      return reader.TryRead(space);
    };
    while (socket().is_open()) {
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
    // The Reader of a closed socket gives an end that is not the peer's.
    if (!socket().is_open()) co_return;
    if (socket().HasFailed() &&
        connection_->reason() != CloseReason::kPeerClosed) {
      Do(policy_.OnPeerReset());
      co_return;
    }
    if (!policy_.OnPeerEnd().send_eof) co_return;
    v1::ServerFrame eof = EofFrame();
    if (!co_await stream_->Write(std::move(eof))) co_return;
    Do(policy_.OnEofTaken());
  }

  // A stream that breaks must not pass for one that has ended.
  Task<> WatchStream() {
    co_await Await(stream_->broken());
    LookAtConnection();
    Do(policy_.OnBroken(writer().has_sent_end()));
  }

  // A peer that has reset is noticed, and its descriptor free, even while the
  // client does not read; what it had sent is kept for the client.
  Task<> WatchPeer() {
    co_await PeerReset(socket());
    TakeTail();
    Do(policy_.OnPeerReset());
  }

  // Keeps what a peer that has reset had sent before.
  void TakeTail() {
    // What the stream has taken goes before what is left.
    socket().StopSharedReceiving();
    const auto space =
        std::make_unique_for_overwrite<char[]>(kMaxServerDataBytes);
    while (tail_.size() < kMaxTailBytes) {
      const ssize_t n = socket().Receive(space.get(), kMaxServerDataBytes);
      if (n <= 0) break;
      tail_.append(space.get(), static_cast<size_t>(n));
    }
  }

  // Tells the client the end; the descriptor is closed.
  Task<> Conclude() {
    stream_->EndConnection();
    const CloseReason reason = connection_->reason();
    const StreamPolicy::Farewell farewell = policy_.FarewellOf(reason);
    if (!farewell.closed) {
      stream_->Finish(violation_);
      co_return;
    }
    for (size_t at = 0; at < tail_.size(); at += kMaxServerDataBytes) {
      DataBlock data(std::string_view(tail_).substr(at, kMaxServerDataBytes));
      stream_->SendData(std::move(data));
      (void)co_await stream_->DataTaken();
    }
    if (farewell.eof) {
      v1::ServerFrame eof = EofFrame(farewell.eof_is_reset);
      co_await stream_->Write(std::move(eof));
    }
    v1::ServerFrame closed;
    closed.mutable_closed()->set_reason(ToProto(reason));
    const bool told = co_await stream_->Write(std::move(closed));
    stream_->Finish(told ? absl::OkStatus()
                         : absl::CancelledError("the client is gone"));
  }

  const std::shared_ptr<ClientStream> stream_;
  const std::shared_ptr<StreamConnection> connection_;
  const StreamSessionOptions options_;
  StreamPolicy policy_;
  const absl::Status given_up_;  // It is said where there is no memory.
  absl::Status violation_;       // What the client did against the contract.
  std::string tail_;
  std::optional<Ivar<>> holder_;  // While a frame is held.
  bool told_moved_ = false;       // The client has the `moved` frame.
};

}  // namespace

Task<> ServeStream(std::shared_ptr<ClientStream> stream,
                   std::shared_ptr<StreamConnection> connection,
                   StreamSessionOptions options) {
  Session session(std::move(stream), std::move(connection), std::move(options));
  // By what is thrown, or by its destruction where there is no memory to wait.
  absl::Cleanup abandon = [&session] { session.Abandon(); };
  co_await session.Run();
  std::move(abandon).Cancel();
}

}  // namespace portreeve::server
