#include "lib/base/mailbox.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "lib/base/guarded.h"

namespace portreeve {

void Mailbox::Send(const std::function<void()>& act,
                   std::function<void()> message) {
  // The order makes this right: whoever sees an effect of `act` finds the flag
  // set, or the post before its own, and then waits for the message.
  const MutexLock lock(mutex_);
  has_mail_ = true;
  asio::post(loop_, [this] { Drain(); });
  act();
  messages_.push_back(std::move(message));
}

void Mailbox::Drain() {
  if (!has_mail_) return;
  std::vector<std::function<void()>> messages;
  {
    const MutexLock lock(mutex_);
    has_mail_ = false;
    messages.swap(messages_);
  }
  for (const auto& message : messages) Guarded(message);
}

}  // namespace portreeve
