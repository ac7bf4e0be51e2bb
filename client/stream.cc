#include "client/stream.h"

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "client/bidi_call.h"
#include "portreeve/v1/connection.grpc.pb.h"

namespace portreeve::client {
namespace {

// What one frame holds at most; the daemon takes more.
constexpr size_t kFrameSize = 64 * 1024;

absl::Status AfterTheEnd() {
  return absl::FailedPreconditionError("the stream has ended");
}

}  // namespace

class Stream::Impl {
 public:
  using Call = BidiCall<v1::ClientFrame, v1::ServerFrame>;

  // `start` as BidiCall takes it, with the stub before.
  template <typename Start>
  Impl(const std::shared_ptr<grpc::Channel>& channel,
       const CallOptions& options, Start start)
      : stub_(v1::ConnectionService::NewStub(channel)),
        call_(options, [&](grpc::ClientContext* context, auto* reactor) {
          start(*stub_->async(), context, reactor);
        }) {}

  // Waits for `opened`.
  absl::Status Open(const v1::ClientFrame& first) {
    // A call that ends at once takes nothing; the reason is its status.
    call_.Write(first);
    v1::ServerFrame frame;
    if (!call_.Read(frame)) return Broken();
    if (!frame.has_opened()) {
      return absl::InternalError("the daemon did not open the stream");
    }
    connection_ = std::move(*frame.mutable_opened()->mutable_connection());
    return absl::OkStatus();
  }

  const v1::Connection& connection() const { return connection_; }

  absl::Status Send(absl::string_view bytes) {
    absl::MutexLock turn(&send_turn_);
    v1::ClientFrame frame;
    for (size_t at = 0; at < bytes.size(); at += kFrameSize) {
      const absl::string_view part = bytes.substr(at, kFrameSize);
      frame.set_data(part.data(), part.size());
      const absl::Status sent = Send(frame, Sending::kEof);
      if (!sent.ok()) return sent;
    }
    return absl::OkStatus();
  }

  absl::Status SendEof() {
    absl::MutexLock turn(&send_turn_);
    v1::ClientFrame frame;
    frame.mutable_eof();
    const absl::Status sent = Send(frame, Sending::kEof);
    if (sent.ok()) sending_ = Sending::kEof;
    return sent;
  }

  // Sends `done`, `reset` or `raised`.
  absl::Status End(const v1::ClientFrame& frame) {
    absl::MutexLock turn(&send_turn_);
    const absl::Status sent = Send(frame, Sending::kEnded);
    sending_ = Sending::kEnded;
    return sent;
  }

  absl::StatusOr<v1::ServerFrame> Read() {
    if (closed_.has_closed()) return closed_;
    v1::ServerFrame frame;
    do {
      if (!call_.Read(frame)) return Broken();
    } while (!IsNews(frame));
    if (frame.has_closed()) {
      closed_ = frame;
      // Lets the call end by itself: cancelled, it would look broken.
      v1::ServerFrame nothing;
      if (!call_.Read(nothing)) call_.Finish().IgnoreError();
    }
    return frame;
  }

  void Cancel() { call_.Cancel(); }

 private:
  enum class Sending { kOpen, kEof, kEnded };

  // Sends unless `sending_` has come to `limit`.
  absl::Status Send(const v1::ClientFrame& frame, Sending limit)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(send_turn_) {
    if (sending_ >= limit) {
      return absl::FailedPreconditionError(
          "nothing can be sent after the end that was said");
    }
    return call_.Write(frame) ? absl::OkStatus() : AfterTheEnd();
  }

  static bool IsNews(const v1::ServerFrame& frame) {
    return frame.has_eof() || frame.has_closed() || !frame.data().empty();
  }

  // Why the call ended without `closed`.
  absl::Status Broken() {
    absl::Status status = call_.Finish();
    if (!status.ok()) return status;
    return absl::InternalError("the daemon ended the stream without `closed`");
  }

  const std::unique_ptr<v1::ConnectionService::Stub> stub_;

  absl::Mutex send_turn_;
  Sending sending_ ABSL_GUARDED_BY(send_turn_) = Sending::kOpen;

  // Of the reading thread.
  v1::Connection connection_;
  v1::ServerFrame closed_;

  Call call_;
};

absl::StatusOr<Stream> Stream::Open(std::unique_ptr<Impl> impl,
                                    const v1::ClientFrame& first) {
  const absl::Status opened = impl->Open(first);
  if (!opened.ok()) return opened;
  return Stream(std::move(impl));
}

absl::StatusOr<Stream> Stream::Attach(
    const std::shared_ptr<grpc::Channel>& channel,
    const std::string& connection, const CallOptions& options) {
  v1::ClientFrame first;
  first.mutable_attach()->set_connection(connection);
  return Open(
      std::make_unique<Impl>(channel, options,
                             [](auto& stub, auto* context, auto* reactor) {
                               stub.Attach(context, reactor);
                             }),
      first);
}

absl::StatusOr<Stream> Stream::Dial(
    const std::shared_ptr<grpc::Channel>& channel,
    const v1::ClientFrame::Dial& dial, const CallOptions& options) {
  v1::ClientFrame first;
  *first.mutable_dial() = dial;
  return Open(
      std::make_unique<Impl>(channel, options,
                             [](auto& stub, auto* context, auto* reactor) {
                               stub.Dial(context, reactor);
                             }),
      first);
}

Stream::Stream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;
Stream::~Stream() = default;

const v1::Connection& Stream::connection() const { return impl_->connection(); }

absl::Status Stream::Send(absl::string_view bytes) {
  return impl_->Send(bytes);
}

absl::Status Stream::SendEof() { return impl_->SendEof(); }

absl::Status Stream::Done() {
  v1::ClientFrame frame;
  frame.mutable_done();
  return impl_->End(frame);
}

absl::Status Stream::Reset() {
  v1::ClientFrame frame;
  frame.mutable_reset();
  return impl_->End(frame);
}

absl::Status Stream::Raise(const std::string& message) {
  v1::ClientFrame frame;
  frame.mutable_raised()->set_message(message);
  return impl_->End(frame);
}

absl::StatusOr<v1::ServerFrame> Stream::Read() { return impl_->Read(); }

void Stream::Cancel() { impl_->Cancel(); }

}  // namespace portreeve::client
