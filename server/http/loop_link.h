// LoopLink: a way to a loop for those who may outlive it.
#ifndef PORTREEVE_SERVER_HTTP_LOOP_LINK_H_
#define PORTREEVE_SERVER_HTTP_LOOP_LINK_H_

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "lib/base/asio.h"
#include "lib/base/mutex.h"

namespace portreeve::server {

// Threads: any.
// Lifetime: it is shared by those who post; Cut() must be called before the
// loop goes.
class LoopLink {
 public:
  explicit LoopLink(asio::io_context& loop) : loop_(&loop) {}
  LoopLink(const LoopLink&) = delete;
  LoopLink& operator=(const LoopLink&) = delete;

  // Calls `f` in a later step of the loop; never, once the link is cut.
  template <typename F>
  void Post(F f) {
    const MutexLock lock(mutex_);
    if (loop_ != nullptr) asio::post(*loop_, std::move(f));
  }

  // Once this returns nothing is posted any more.
  void Cut() {
    const MutexLock lock(mutex_);
    loop_ = nullptr;
  }

 private:
  Mutex mutex_;
  asio::io_context* loop_ PORTREEVE_GUARDED_BY(mutex_);
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HTTP_LOOP_LINK_H_
