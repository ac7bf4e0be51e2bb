// Mailbox: messages of other threads to a loop, each of which arrives before
// its consequences do.
#ifndef PORTREEVE_LIB_BASE_MAILBOX_H_
#define PORTREEVE_LIB_BASE_MAILBOX_H_

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <functional>

#include "absl/functional/function_ref.h"
#include "lib/base/handler_memory.h"
#include "lib/base/mutex.h"

namespace portreeve {

namespace asio = boost::asio;

// A plain post would come too late: what a thread has done (closed a socket)
// may be seen by a peer, and what the peer does then by the loop, before it
// reads the post.  With a mailbox the loop learns of it first.
class Mailbox {
 public:
  // What is sent.
  class Message {
   public:
    // Called on the loop.  It may destroy the message.
    virtual void OnArrival() = 0;

   protected:
    ~Message() = default;

   private:
    friend class Mailbox;
    Message* next_ = nullptr;
  };

  // `memory` must outlive what the loop has queued; nobody else may use it.
  Mailbox(asio::io_context& loop, HandlerMemory& memory)
      : loop_(loop), memory_(memory) {}
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox();

  // Calls `act` now, and `message` on the loop: before anything there that is a
  // consequence of `act`, be it an event of epoll or a post.  It takes no
  // memory.
  // Threads: any but the loop's.
  // Lifetime: `message` must live until it has arrived, or the mailbox goes.
  void Send(absl::FunctionRef<void()> act, Message& message);
  // Does the same with a function.  Where there is no memory for it, it throws
  // std::bad_alloc, and has no effect.
  void Send(absl::FunctionRef<void()> act, std::function<void()> message);

  // Calls the messages that were sent; what one throws goes to the top-level
  // monitor.  It must be called before each event that may be a consequence of
  // one, and costs next to nothing where nothing was sent.
  // Threads: loop thread only.
  void Drain();

 private:
  class Function;

  Message* TakeAll();

  asio::io_context& loop_;
  std::atomic<bool> has_mail_{false};
  Mutex mutex_;
  HandlerMemory& memory_ PORTREEVE_GUARDED_BY(mutex_);
  // A call of Drain() is in the loop's queue, and uses memory_.
  bool posted_ PORTREEVE_GUARDED_BY(mutex_) = false;
  Message* first_ PORTREEVE_GUARDED_BY(mutex_) = nullptr;
  Message* last_ PORTREEVE_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_MAILBOX_H_
