#include "server/calls/socket_call.h"

#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <span>
#include <utility>

#include "lib/base/socket_calls.h"
#include "server/api/errors.h"
#include "server/calls/answers.h"
#include "server/calls/data_frame.h"

namespace portreeve::server {

SocketCall::SocketCall(Loop& loop, const grpc::CallbackServerContext& context,
                       OnDoneFunction on_done)
    : BidiCall(loop, context, std::move(on_done)), broken_(loop.executor()) {}

bool SocketCall::AwaitsMessage() const {
  return !message_ && !client_ended_ && !closed() && !is_broken();
}

Task<std::optional<ClientMessage>> SocketCall::Read(Carrier carrier) {
  if (AwaitsMessage()) {
    // If a Read() that was cancelled has asked already, it stays at that.
    if (!reading()) takes_directly_ = carrier == Carrier::kStream;
    ReadNext();
    const Deferred<> ready = reader_.emplace(loop().executor()).deferred();
    co_await ready.Wait();
    // Cancelled when it was about to resume: nobody would get the frame.
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
      throw boost::system::system_error(asio::error::operation_aborted);
    }
  }
  co_return std::exchange(message_, std::nullopt);
}

void SocketCall::WakeReader() {
  if (reader_) reader_->FillIfEmpty();
}

Task<bool> SocketCall::Write(v1::ServerFrame frame) {
  const Ivar<bool> taken(loop().executor());
  Send(Encode(frame), [taken](bool ok) { taken.Fill(ok); });
  frame = v1::ServerFrame();  // gRPC has its own copy.
  const Deferred<bool> answer = taken.deferred();
  co_return co_await answer.Wait();
}

void SocketCall::SendData(DataBlock data) {
  const Ivar<bool> taken(loop().executor());
  data_taken_ = taken;
  SendAndContinue(EncodeData(std::move(data)),
                  [taken](bool ok) { taken.Fill(ok); });
}

Task<bool> SocketCall::DataTaken() {
  AwaitSent();
  const Deferred<bool> answer = data_taken_->deferred();
  if (answer.determined()) co_return answer.value();
  co_return co_await answer.Wait();
}

void SocketCall::Join(std::shared_ptr<SharedDescriptor> socket) {
  SetCarries(Carries::kConnection);
  socket_ = std::move(socket);
}

void SocketCall::Finish(const absl::Status& status) {
  const bool waits = Answers::Of(loop().context()).moved() && !client_ended_ &&
                     !closed() && !is_broken();
  if (!waits) return Close(status);
  last_ = status;
  message_.reset();
  last_reading_.emplace(TimeSource::Of(loop().context()));
  last_reading_->StartAfter(kLastReading, [this] { Close(*last_); });
  ReadNext();
}

// What the loop must not miss comes to it: everything but data, data that is
// too large, and what the peer does not take at once.
bool SocketCall::TakeDirectly(const grpc::ByteBuffer& message) {
  directly_sent_ = 0;
  if (socket_ == nullptr || !takes_directly_) return false;
  const std::optional<ReceivedData> data = ParseData(message);
  if (!data || data->size() > kMaxClientDataBytes ||
      data->pieces.size() > kMostPieces || !socket_->HasLittleUnsent()) {
    return false;
  }
  const ssize_t n = socket_->Send(data->pieces);
  directly_sent_ = n < 0 ? 0 : static_cast<size_t>(n);
  return directly_sent_ == data->size();
}

bool SocketCall::ContinueSending(grpc::ByteBuffer* message) {
  if (socket_ == nullptr) return false;
  // The loop reads the end, and errors, once more.
  auto data = ReceiveBlock([this](std::span<char> space) {
    const ssize_t n = socket_->Receive(space);
    return n > 0 ? std::optional<size_t>(n) : std::nullopt;
  });
  if (!data) return false;
  *message = EncodeData(*std::move(data));
  return true;
}

void SocketCall::OnMessage(grpc::ByteBuffer message) {
  if (last_) return ReadNext();  // It comes too late.
  ClientMessage read;
  read.data = ParseData(message);
  if (read.data) read.data->RemovePrefix(directly_sent_);
  if (read.data || Parse(std::move(message), read.frame)) {
    message_ = std::move(read);
    WakeReader();
  } else {
    // What was to follow is unknown: this must not pass for an end.
    broken_.FillIfEmpty();
    Close(InvalidMessage("not a ClientFrame"));
  }
}

void SocketCall::OnClientEnd() {
  client_ended_ = true;
  if (last_) return Close(*last_);
  WakeReader();
}

void SocketCall::OnBroken() {
  if (last_) return Close(*last_);
  broken_.FillIfEmpty();
  message_.reset();
  WakeReader();
}

void SocketCall::Close(const absl::Status& status) {
  last_reading_.reset();
  BidiCall::Close(status);
  message_.reset();
  WakeReader();
}

}  // namespace portreeve::server
