#include "server/calls/handle_call.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "lib/base/status.h"
#include "server/api/errors.h"
#include "server/api/names.h"
#include "server/api/progress_interval.h"
#include "server/calls/answers.h"

namespace portreeve::server {
namespace {

// What a message takes beside its bytes until it is sent, roughly.
constexpr size_t kMessageBytes = 512;

absl::Status NotStart() {
  return InvalidField("start", "the first message must be `start`");
}

}  // namespace

HandleCall::HandleCall(Loop& loop, const grpc::CallbackServerContext& context,
                       Registry& registry, AuditFunction audit,
                       OnDoneFunction on_done)
    : BidiCall(loop, context, std::move(on_done)),
      registry_(registry),
      unread_(UnreadAnswers::Of(loop.context())),
      peer_(context.peer()),
      audit_(std::move(audit)) {}

void HandleCall::OnMessage(grpc::ByteBuffer message) {
  v1::HandleRequest request;
  absl::Status status = Parse(std::move(message), request)
                            ? absl::OkStatus()
                            : InvalidMessage("not a HandleRequest");
  const bool first = !std::exchange(started_, true);
  if (status.ok()) status = first ? TakeFirst(request) : TakeLater(request);
  if (first) audit_(request.start().listener(), status);
  if (!status.ok()) return Fail(status);
  if (first) Begin();
  ReadNext();
}

absl::Status HandleCall::TakeFirst(const v1::HandleRequest& request) {
  if (!request.has_start()) return NotStart();
  return Join(request.start());
}

absl::Status HandleCall::Join(const v1::HandleRequest::Start& start) {
  const auto id = ParseListenerName(start.listener(), "start.listener");
  if (!id.ok()) return id.status();
  std::optional<Duration> progress_interval;
  if (start.has_progress_interval()) {
    const auto interval =
        ProgressInterval(start.progress_interval(), "start.progress_interval");
    if (!interval.ok()) return interval.status();
    progress_interval = *interval;
  }
  auto found = registry_.FindRemote(*id);
  if (!found.ok()) return found.status();
  if (progress_interval) {
    progress_.emplace(TimeSource::Of(loop().context()), *progress_interval,
                      [this] { TellProgress(); });
  }
  number_ = (*found)->workers().Join(*this);
  listener_ = *std::move(found);
  return absl::OkStatus();
}

// The wait ends with Leave(), so it needs no reference to the stream.
void HandleCall::Begin() {
  StartSendInitialMetadata();
  auto done = [this](error_code ec) {
    if (ec || Answers::Of(loop().context()).moved()) return;
    Leave();
    Close(absl::OkStatus());
  };
  listener_->handlers_determined().Wait(asio::bind_cancellation_slot(
      stop_waiting_.slot(),
      asio::bind_executor(loop().context().get_executor(), std::move(done))));
}

// One that has begun ends with its listener, but for one that moves.
void HandleCall::CloseForShutdown() {
  const Answers& answers = Answers::Of(loop().context());
  if (!answers.moved()) return BidiCall::CloseForShutdown();
  Fail(answers.Refusal());
}

absl::Status HandleCall::TakeLater(const v1::HandleRequest& request) {
  switch (request.kind_case()) {
    case v1::HandleRequest::kVerdict:
      return listener_->workers().Give(request.verdict());
    case v1::HandleRequest::kStart:
      return InvalidField("start", "only the first message may be `start`");
    case v1::HandleRequest::KIND_NOT_SET:
      break;
  }
  return InvalidMessage("a message must have one of its kinds set");
}

void HandleCall::OnClientEnd() {
  if (started_) {
    Leave();
    DropUnsent();
    return Close(absl::OkStatus());
  }
  audit_("", NotStart());
  Fail(NotStart());
}

void HandleCall::OnBroken() {
  Leave();
  Close(absl::CancelledError("the worker is gone"));
}

void HandleCall::Offer(const v1::Connection& connection) {
  v1::HandleResponse response;
  *response.mutable_offer()->mutable_connection() = connection;
  Tell(response);
}

void HandleCall::AskForVerdict(const v1::HandleResponse::HandlerError& error) {
  v1::HandleResponse response;
  *response.mutable_handler_error() = error;
  Tell(response);
}

void HandleCall::Dismiss() {
  stop_waiting_.emit(asio::cancellation_type::terminal);
  listener_.reset();
  Close(absl::OkStatus());
}

void HandleCall::Tell(const v1::HandleResponse& response) {
  if (overloaded_) return;
  grpc::ByteBuffer message = Encode(response);
  const size_t bytes = message.Length() + kMessageBytes;
  const bool counts = unread_bytes_ + bytes > UnreadAnswers::kSmallBytes;
  if (counts && !unread_.TryAdd(peer_, bytes)) {
    // The pool is busy with this worker.
    loop().Post([this] { Fail(TooMuchUnread()); });
    overloaded_ = true;
    return;
  }
  unread_bytes_ += bytes;
  if (progress_) progress_->OnSend();
  const auto count_out = [this, bytes, counts] {
    unread_bytes_ -= bytes;
    if (counts) unread_.Remove(peer_, bytes);
    if (progress_) progress_->OnSent();
  };
  absl::Cleanup undo = count_out;
  Send(std::move(message), [count_out](bool) { count_out(); });
  std::move(undo).Cancel();
}

// There is one on its way at most, and then nothing else is.
void HandleCall::TellProgress() noexcept {
  try {
    v1::HandleResponse response;
    response.mutable_progress();
    Tell(response);
  } catch (...) {
    // Out of memory: the next one comes.
  }
}

void HandleCall::Leave() {
  progress_.reset();
  if (!listener_) return;
  stop_waiting_.emit(asio::cancellation_type::terminal);
  const auto listener = std::move(listener_);
  listener->workers().Leave(number_);
}

void HandleCall::Fail(const absl::Status& status) {
  Leave();
  DropUnsent();
  Close(status);
}

}  // namespace portreeve::server
