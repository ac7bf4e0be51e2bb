#include "lib/base/mailbox.h"

#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/post.hpp>
#include <memory>
#include <utility>

#include "lib/base/guarded.h"

namespace portreeve {

// A message that owns itself.
class Mailbox::Function final : public Message {
 public:
  explicit Function(std::function<void()> f) : f_(std::move(f)) {}

  void OnArrival() override {
    const std::unique_ptr<Function> self(this);
    f_();
  }

 private:
  const std::function<void()> f_;
};

Mailbox::~Mailbox() {
  // What has not arrived belongs to a loop that has ended: functions are
  // destroyed uncalled, and others are their owners'.
  Message* message = TakeAll();
  while (message != nullptr) {
    Message* const next = message->next_;
    if (auto* const function = dynamic_cast<Function*>(message)) {
      delete function;
    }
    message = next;
  }
}

void Mailbox::Send(absl::FunctionRef<void()> act,
                   std::function<void()> message) {
  auto made = std::make_unique<Function>(std::move(message));
  Send(act, *made.release());
}

void Mailbox::Send(absl::FunctionRef<void()> act, Message& message) {
  // The order makes this right: whoever sees an effect of `act` finds the flag
  // set, or the post before its own, and then waits for the message.
  const MutexLock lock(mutex_);
  has_mail_ = true;
  // One that is in the queue still, or waits for the mutex, will do.
  if (!posted_) {
    posted_ = true;
    asio::post(loop_, asio::bind_allocator(memory_.allocator(), [this] {
                 {
                   const MutexLock drained(mutex_);
                   posted_ = false;
                 }
                 Drain();
               }));
  }
  act();
  message.next_ = nullptr;
  (last_ == nullptr ? first_ : last_->next_) = &message;
  last_ = &message;
}

Mailbox::Message* Mailbox::TakeAll() {
  const MutexLock lock(mutex_);
  has_mail_ = false;
  last_ = nullptr;
  return std::exchange(first_, nullptr);
}

void Mailbox::Drain() {
  if (!has_mail_) return;
  Message* message = TakeAll();
  while (message != nullptr) {
    Message* const next = message->next_;
    Guarded([&] { message->OnArrival(); });
    message = next;
  }
}

}  // namespace portreeve
