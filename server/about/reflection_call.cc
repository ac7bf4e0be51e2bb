#include "server/about/reflection_call.h"

#include <utility>

#include "absl/status/status.h"
#include "server/api/errors.h"

namespace portreeve::server {

ReflectionCall::ReflectionCall(Loop& loop,
                               const grpc::CallbackServerContext& context,
                               const DescriptorAnswers& answers,
                               OnDoneFunction on_done)
    : BidiCall(loop, context, std::move(on_done)),
      answers_(answers),
      unread_(UnreadAnswers::Of(loop.context())),
      peer_(context.peer()) {}

void ReflectionCall::OnMessage(grpc::ByteBuffer message) {
  grpc::reflection::v1::ServerReflectionRequest request;
  if (!Parse(std::move(message), request)) {
    return Close(InvalidMessage("not a ServerReflectionRequest"));
  }
  grpc::ByteBuffer answer = Encode(answers_.Answer(request));
  const size_t bytes = answer.Length();
  const bool counts = bytes > UnreadAnswers::kSmallBytes;
  if (counts && !unread_.TryAdd(peer_, bytes)) return Close(TooMuchUnread());
  Send(std::move(answer), [this, bytes, counts](bool ok) {
    if (counts) unread_.Remove(peer_, bytes);
    // This must not use the call before Send() is through with it.  That may
    // finish the call; its owner keeps it until this has run all the same.
    if (ok) loop().Post([this] { ReadNext(); });
  });
}

void ReflectionCall::OnBroken() {
  Close(absl::CancelledError("the client is gone"));
}

}  // namespace portreeve::server
