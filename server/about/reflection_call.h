// ReflectionCall: one ServerReflectionInfo call, of either version.
#ifndef PORTREEVE_SERVER_ABOUT_REFLECTION_CALL_H_
#define PORTREEVE_SERVER_ABOUT_REFLECTION_CALL_H_

#include <cstddef>
#include <string>

#include "server/about/descriptor_answers.h"
#include "server/calls/bidi_call.h"
#include "server/calls/unread_answers.h"

namespace portreeve::server {

// Answers one question at a time: the next is read when the client has taken
// the answer to the one before.  Answers that wait count as unread ones of the
// connection; where there is no room for one, the call ends with OVERLOADED.
class ReflectionCall final : public BidiCall {
 public:
  // The arguments are those of BidiCall.  `answers` outlives it.
  ReflectionCall(Loop& loop, const grpc::CallbackServerContext& context,
                 const DescriptorAnswers& answers, OnDoneFunction on_done);

  // Awaits the first question.
  void Start() { ReadNext(); }

  // Nothing else ends it: the client may ask as long as it likes.
  void CloseForShutdown() override { Close(absl::OkStatus()); }

 private:
  void OnMessage(grpc::ByteBuffer message) override;
  void OnClientEnd() override { Close(absl::OkStatus()); }
  void OnBroken() override;

  const DescriptorAnswers& answers_;
  UnreadAnswers& unread_;
  const std::string peer_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_ABOUT_REFLECTION_CALL_H_
