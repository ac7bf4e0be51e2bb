// Unary RPCs: from gRPC's threads to the loop and back.
#ifndef PORTREEVE_SERVER_CALLS_UNARY_H_
#define PORTREEVE_SERVER_CALLS_UNARY_H_

#include <google/protobuf/message_lite.h>
#include <grpcpp/grpcpp.h>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/base/deferred.h"
#include "server/api/errors.h"
#include "server/calls/answers.h"
#include "server/calls/grpc_status.h"
#include "server/calls/unread_answers.h"
#include "server/control/control_calls.h"
#include "server/registry/awaited.h"

namespace portreeve::server {

// Answers at once with `status`.
inline grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                        const absl::Status& status) {
  const grpc::Status answer = ToGrpc(status);
  NoteAnswer(*context, answer.error_code());
  auto* reactor = context->DefaultReactor();
  reactor->Finish(answer);
  return reactor;
}

// The response of a call: a message of any type, or what is sent in its place.
class AnyResponse {
 public:
  // `message` outlives this.
  template <typename Message>
  AnyResponse(const Message* message)  // NOLINT(google-explicit-constructor)
      : message_(message), size_of_([](const void* sized) {
          return static_cast<const Message*>(sized)->ByteSizeLong();
        }) {}

  // Gives how many bytes it has, encoded.
  size_t size() const { return size_of_(message_); }

 private:
  const void* message_;
  size_t (*size_of_)(const void*);
};

// The bytes of one answer, which count from when it is known until gRPC has let
// go of it.
class UnreadAnswer {
 public:
  // The call and its response live as long as this.
  UnreadAnswer(UnreadAnswers& unread,
               const grpc::CallbackServerContext& context, AnyResponse response)
      : unread_(unread), context_(context), response_(response) {}
  UnreadAnswer(const UnreadAnswer&) = delete;
  UnreadAnswer& operator=(const UnreadAnswer&) = delete;
  ~UnreadAnswer();

  // Counts the response as it is now, or gives OVERLOADED if that is too much.
  // It must be called once at most.
  absl::Status Count();
  // Notes that the answer is known: the call waits for nothing any more.
  void Note(const grpc::Status& status) const;

 private:
  UnreadAnswers& unread_;
  const grpc::CallbackServerContext& context_;
  const AnyResponse response_;
  std::string peer_;  // Where bytes_ > 0.
  size_t bytes_ = 0;  // That are counted.
};

// The reactor of an RPC that one step of the loop answers.
class LoopReactor final : public grpc::ServerUnaryReactor {
 public:
  LoopReactor(asio::io_context& loop,
              const grpc::CallbackServerContext& context, AnyResponse response);

  // It never throws.
  // Threads: the loop's.
  void Answer(absl::Status status);

  // See Answers.
  bool is_moved() const { return answers_.moved(); }

  void OnDone() override;

 private:
  Answers& answers_;
  Answers::Answer answer_;
  UnreadAnswer unread_;
};

// Gives the answer for the exception that is being handled, and sends that to
// the top-level monitor.  It must be called in a catch clause, and never
// throws.
absl::Status AnswerToException();

// Moves the value of `result` into `place`, or gives its error.
template <typename T>
absl::Status Put(absl::StatusOr<T> result, T* place) {
  if (result.ok()) *place = *std::move(result);
  return result.status();
}

// Runs `work`, an absl::Status(), on the loop, and answers with what it gives,
// or throws: a call without an answer would wait for ever.  `work` may use the
// request and the response.
template <typename Work>
grpc::ServerUnaryReactor* AnswerOnLoop(
    asio::io_context& loop, const grpc::CallbackServerContext* context,
    AnyResponse response, Work work) {
  auto* reactor = new LoopReactor(loop, *context, response);  // Until OnDone().
  asio::post(loop, [reactor, work = std::move(work)]() mutable {
    if (reactor->is_moved()) return reactor->Answer(Moved());
    absl::Status status;
    try {
      status = work();
    } catch (...) {
      status = AnswerToException();
    }
    reactor->Answer(std::move(status));
  });
  return reactor;
}

// The answer to an RPC that a step of the loop begins and a later one may
// answer.  A call without an answer would wait for ever, and so the last that
// lets go of one which was not given answers, too.
// Threads: the loop's.
class PendingAnswer {
 public:
  explicit PendingAnswer(LoopReactor& reactor) : reactor_(&reactor) {}
  PendingAnswer(const PendingAnswer&) = delete;
  PendingAnswer& operator=(const PendingAnswer&) = delete;
  ~PendingAnswer();

  // Answers with what `work`, an absl::Status(), gives or throws.  `work` may
  // use the request and the response.  After the first time it does nothing.
  template <typename Work>
  void GiveBy(Work work) {
    if (reactor_ == nullptr) return;
    absl::Status status;
    try {
      status = reactor_->is_moved() && !stays_ ? Moved() : work();
    } catch (...) {
      status = AnswerToException();
    }
    std::exchange(reactor_, nullptr)->Answer(std::move(status));
  }

  // The answer is given whichever process the daemon goes on in.
  void Stay() { stays_ = true; }

 private:
  LoopReactor* reactor_;  // Null: it was given.
  bool stays_ = false;
};
using SharedAnswer = std::shared_ptr<PendingAnswer>;

// Runs `begin`, a void(SharedAnswer), on the loop.  It gives the answer, or
// sees to it that it is given; what it throws is an answer, too.
template <typename Begin>
grpc::ServerUnaryReactor* AnswerLater(
    asio::io_context& loop, const grpc::CallbackServerContext* context,
    AnyResponse response, Begin begin) {
  auto* reactor = new LoopReactor(loop, *context, response);  // Until OnDone().
  asio::post(loop, [reactor, begin = std::move(begin)]() mutable {
    if (reactor->is_moved()) return reactor->Answer(Moved());
    SharedAnswer answer;
    try {
      answer = std::make_shared<PendingAnswer>(*reactor);
      begin(answer);
    } catch (...) {
      const auto give = [] { return AnswerToException(); };
      if (answer == nullptr) return reactor->Answer(give());
      answer->GiveBy(give);
    }
  });
  return reactor;
}

// Does the same as AnswerOnLoop() for a page of a list, which is large: it is
// not even made for a client that leaves too much unread by then.
template <typename Work>
grpc::ServerUnaryReactor* AnswerPageOnLoop(
    asio::io_context& loop, const grpc::CallbackServerContext* context,
    AnyResponse response, Work work) {
  auto make = [&unread = UnreadAnswers::Of(loop), context,
               work = std::move(work)]() mutable -> absl::Status {
    if (unread.IsFull(*context)) return TooMuchUnread();
    return work();
  };
  return AnswerOnLoop(loop, context, response, std::move(make));
}

// The reactor of an RPC that waits for something on the loop: see AnswerWhen().
//
// Threads: Start() on gRPC's; every field is touched on the loop only, but for
// self_, which nothing but Start() and OnDone() uses.
class WaitReactor final : public grpc::ServerUnaryReactor,
                          public std::enable_shared_from_this<WaitReactor>,
                          private Answers::Waiting {
 public:
  struct Wait {
    Deferred<> until;
    std::function<absl::Status()> respond;  // Fills the response.
    // The answer is given whichever process the daemon goes on in.
    bool stays = false;
  };
  // Called once, on the loop, also for a call that was cancelled.  An error is
  // the answer, and so is what it or `respond` throws.
  using Begin = std::function<absl::StatusOr<Wait>()>;

  // `loop` outlives the call; `response` is what `begin` and the wait fill.
  static WaitReactor* Start(asio::io_context& loop,
                            const grpc::CallbackServerContext* context,
                            AnyResponse response, Begin begin);

  WaitReactor(asio::io_context& loop,
              const grpc::CallbackServerContext& context, AnyResponse response);

  void OnCancel() override;
  void OnDone() override;

 private:
  void EndWait() override;
  void Run(const Begin& begin);
  void FinishWith(const absl::Status& status);
  void Await(Wait wait);

  asio::io_context& loop_;
  Answers& answers_;
  Answers::Answer answer_;
  UnreadAnswer unread_;
  asio::cancellation_signal cancel_;
  std::shared_ptr<WaitReactor> self_;  // gRPC's reference, until OnDone().
};

// Runs `begin`, an absl::StatusOr<Awaited<Message>>(), on the loop, also for a
// call that was cancelled.  Its error, or what it throws, is the answer; else
// what it gave describes, when that is to be given, in `place`, which is
// `response` or a part of it.  A caller that stops waiting ends the wait and
// nothing else.  `stays`: see WaitReactor::Wait.
template <typename Message, typename Begin>
grpc::ServerUnaryReactor* AnswerWhen(asio::io_context& loop,
                                     const grpc::CallbackServerContext* context,
                                     AnyResponse response, Message* place,
                                     Begin begin, bool stays = false) {
  auto wait = [begin = std::move(begin), place,
               stays]() -> absl::StatusOr<WaitReactor::Wait> {
    absl::StatusOr<Awaited<Message>> awaited = begin();
    if (!awaited.ok()) return awaited.status();
    auto respond = [place, describe = std::move(awaited->describe)] {
      return Put(describe(), place);
    };
    return WaitReactor::Wait{std::move(awaited->until), std::move(respond),
                             stays};
  };
  return WaitReactor::Start(loop, context, response, std::move(wait));
}

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_UNARY_H_
