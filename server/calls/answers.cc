#include "server/calls/answers.h"

#include <boost/asio/post.hpp>
#include <iterator>

namespace portreeve::server {

Answers& Answers::Of(asio::io_context& loop) {
  return asio::use_service<Answers>(loop);
}

Answers::Answers(asio::execution_context& loop)
    : service(loop),
      loop_(static_cast<asio::io_context&>(loop)),
      unread_(UnreadAnswers::Of(loop_)) {}

void Answers::Add(grpc::ServerUnaryReactor* reactor, grpc::Status status) {
  if (of_this_step_.empty()) {
    asio::post(loop_, [this] {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        due_.insert(due_.end(), std::move_iterator(of_this_step_.begin()),
                    std::move_iterator(of_this_step_.end()));
      }
      of_this_step_.clear();
      Give();
    });
  }
  of_this_step_.push_back({reactor, std::move(status)});
}

void Answers::Give() {
  while (const std::optional<Answer> answer = Next()) {
    answer->reactor->Finish(answer->status);
  }
}

std::optional<Answers::Answer> Answers::Next() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (due_.empty()) return std::nullopt;
  std::optional<Answer> answer(std::move(due_.front()));
  due_.pop_front();
  return answer;
}

}  // namespace portreeve::server
