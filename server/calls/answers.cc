#include "server/calls/answers.h"

#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "lib/base/loop_service.h"
#include "server/api/errors.h"

namespace portreeve::server {

Answers& Answers::Of(asio::io_context& loop) { return OfLoop<Answers>(loop); }

Answers::Answers(asio::io_context& loop)
    : loop_(loop), unread_(UnreadAnswers::Of(loop_)) {}

absl::Status Answers::Refusal() const {
  return moved_ ? Moved() : ShuttingDown();
}

void Answers::EndWaits() {
  while (!waiting_.empty()) {
    Waiting& call = waiting_.front();
    waiting_.pop_front();
    call.EndWait();
  }
}

void Answers::List::Append(const List& more) {
  if (more.first == nullptr) return;
  (first == nullptr ? first : last->next) = more.first;
  last = more.last;
}

Answers::Answer* Answers::List::TakeFirst() {
  Answer* const taken = first;
  if (taken != nullptr) first = std::exchange(taken->next, nullptr);
  return taken;
}

void Answers::Add(Answer& answer) {
  const bool is_first = of_this_step_.first == nullptr;
  of_this_step_.Append({&answer, &answer});
  if (!is_first) return;
  asio::post(loop_, asio::bind_allocator(memory_.allocator(), [this] {
               const List step = std::exchange(of_this_step_, {});
               {
                 const MutexLock lock(mutex_);
                 due_.Append(step);
               }
               Give();
             }));
}

void Answers::Give() {
  while (Answer* const answer = Next()) {
    // The answer may be gone before Finish() returns.
    grpc::Status status = std::move(answer->status);
    answer->reactor->Finish(std::move(status));
  }
}

Answers::Answer* Answers::Next() {
  const MutexLock lock(mutex_);
  return due_.TakeFirst();
}

}  // namespace portreeve::server
