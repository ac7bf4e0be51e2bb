// Mailbox: messages of other threads to a loop, each of which arrives before
// its consequences do.
#ifndef PORTREEVE_LIB_BASE_MAILBOX_H_
#define PORTREEVE_LIB_BASE_MAILBOX_H_

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <vector>

#include "lib/base/mutex.h"

namespace portreeve {

namespace asio = boost::asio;

// A plain post would come too late: what a thread has done (closed a socket)
// may be seen by a peer, and what the peer does then by the loop, before it
// reads the post.  With a mailbox the loop learns of it first.
class Mailbox {
 public:
  explicit Mailbox(asio::io_context& loop) : loop_(loop) {}
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // Calls `act` now, and `message` on the loop: before anything there that is a
  // consequence of `act`, be it an event of epoll or a post.
  // Threads: any but the loop's.
  void Send(const std::function<void()>& act, std::function<void()> message);

  // Calls the messages that were sent; what one throws goes to the top-level
  // monitor.  It must be called before each event that may be a consequence of
  // one, and costs next to nothing where nothing was sent.
  // Threads: loop thread only.
  void Drain();

 private:
  asio::io_context& loop_;
  std::atomic<bool> has_mail_{false};
  Mutex mutex_;
  std::vector<std::function<void()>> messages_ PORTREEVE_GUARDED_BY(mutex_);
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_MAILBOX_H_
