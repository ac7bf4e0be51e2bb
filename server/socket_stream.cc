#include "server/socket_stream.h"

#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <utility>

#include "server/errors.h"

namespace portreeve::server {

SocketStream::SocketStream(Loop& loop,
                           const grpc::CallbackServerContext& context,
                           OnDoneFunction on_done)
    : CallStream(loop, context, std::move(on_done)), broken_(loop.executor()) {}

bool SocketStream::AwaitsFrame() const {
  return !frame_ && !client_ended_ && !closed() && !CallStream::broken();
}

Task<std::optional<v1::ClientFrame>> SocketStream::Read() {
  if (AwaitsFrame()) {
    // Without effect if a Read() that was cancelled has asked already.
    ReadNext();
    const Deferred<> ready = reader_.emplace(loop().executor()).deferred();
    co_await ready.Wait();
    // Cancelled when it was about to resume: nobody would get the frame.
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
      throw boost::system::system_error(asio::error::operation_aborted);
    }
  }
  co_return std::exchange(frame_, std::nullopt);
}

void SocketStream::WakeReader() {
  if (reader_) reader_->FillIfEmpty();
}

Task<bool> SocketStream::Write(v1::ServerFrame frame) {
  const Ivar<bool> taken(loop().executor());
  Send(frame, [taken](bool ok) { taken.Fill(ok); });
  frame = v1::ServerFrame();  // gRPC has its own copy.
  const Deferred<bool> answer = taken.deferred();
  co_return co_await answer.Wait();
}

void SocketStream::OnMessage(grpc::ByteBuffer message) {
  v1::ClientFrame frame;
  if (Parse(std::move(message), frame)) {
    frame_ = std::move(frame);
    WakeReader();
  } else {
    // What was to follow is unknown: this must not pass for an end.
    broken_.FillIfEmpty();
    Close(InvalidMessage("not a ClientFrame"));
  }
}

void SocketStream::OnClientEnd() {
  client_ended_ = true;
  WakeReader();
}

void SocketStream::OnBroken() {
  broken_.FillIfEmpty();
  frame_.reset();
  WakeReader();
}

void SocketStream::Close(const absl::Status& status) {
  CallStream::Close(status);
  frame_.reset();
  WakeReader();
}

}  // namespace portreeve::server
