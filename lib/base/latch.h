// Latch: what a coroutine can always wait for.
#ifndef PORTREEVE_LIB_BASE_LATCH_H_
#define PORTREEVE_LIB_BASE_LATCH_H_

#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/post.hpp>
#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/executor.h"
#include "lib/base/handler_memory.h"
#include "lib/base/time_source.h"

namespace portreeve {

// To wait for a Deferred takes memory, and whoever finds none goes on with an
// error.  A coroutine to which others refer must not go on before they have
// ended: it makes a Latch while it still may fail, and waits for that in the
// end.
//
//   Latch joined(executor);
//   ...
//   tasks.OpenWhenEmpty(joined);
//   co_await joined.Wait();
//
// One coroutine waits at a time, and is resumed in a later step than that of
// Open().  Cancellation has no effect on the wait; where throw_if_cancelled()
// is set it must not have come before.
//
// Threads: loop thread only.  Lifetime: it must outlive the wait.
class Latch {
 public:
  explicit Latch(const Executor& executor) : inner_(executor.inner()) {}
  Latch(const Latch&) = delete;
  Latch& operator=(const Latch&) = delete;
  ~Latch() {
    if (drop_ != nullptr) drop_(*this);
  }

  // Lets whoever waits pass, now or later.  Idempotent.  It takes no memory.
  void Open() {
    is_open_ = true;
    if (resume_ != nullptr) resume_(*this);
  }
  bool is_open() const { return is_open_; }
  // From now on whoever comes has to wait again.
  void Shut() { is_open_ = false; }

  class Waiting {
   public:
    explicit Waiting(Latch& latch) : latch_(latch) {}
    template <typename Token>
    requires(!std::is_pointer_v<std::decay_t<Token>>) auto operator()(
        Token&& token) {
      return asio::async_initiate<Token, void()>(
          [latch = &latch_](auto&& handler) {
            latch->Begin(std::forward<decltype(handler)>(handler));
          },
          token);
    }

   private:
    Latch& latch_;
  };

  // `co_await latch.Wait()` returns once it is open.  It takes no memory, and
  // not even a frame.
  Waiting Wait() { return Waiting(*this); }

 private:
  static constexpr std::size_t kHandlerBytes = 64;

  template <typename Handler>
  static Handler& HandlerOf(Latch& latch) {
    return *std::launder(reinterpret_cast<Handler*>(latch.handler_));
  }

  template <typename H>
  void Begin(H&& given) {
    using Handler = std::decay_t<H>;
    static_assert(sizeof(Handler) <= kHandlerBytes);
    PORTREEVE_CHECK(resume_ == nullptr);
    new (handler_) Handler(std::forward<H>(given));
    drop_ = [](Latch& latch) { HandlerOf<Handler>(latch).~Handler(); };
    resume_ = [](Latch& latch) {
      latch.resume_ = nullptr;
      latch.drop_ = nullptr;
      auto resume = [handler = std::move(HandlerOf<Handler>(latch))]() mutable {
        std::move(handler)();
      };
      HandlerOf<Handler>(latch).~Handler();
      asio::post(latch.inner_, asio::bind_allocator(latch.memory_.allocator(),
                                                    std::move(resume)));
    };
    if (is_open_) resume_(*this);
  }

  const asio::io_context::executor_type inner_;
  bool is_open_ = false;
  void (*resume_)(Latch&) = nullptr;  // Null: nobody waits.
  void (*drop_)(Latch&) = nullptr;
  alignas(std::max_align_t) std::byte handler_[kHandlerBytes];
  HandlerMemory memory_;
};

// A pause before something is tried again for which there was no memory.  It
// takes none.
//
//   Pause pause(executor);
//   ...
//   co_await pause.Take();
//
// Threads: loop thread only.  Lifetime: it must outlive the wait.
class Pause {
 public:
  static constexpr std::chrono::milliseconds kLength{10};

  explicit Pause(const Executor& executor)
      : latch_(executor), timer_(TimeSource::Of(executor)) {}

  Latch::Waiting Take() {
    latch_.Shut();
    timer_.StartAfter(kLength, [this] { latch_.Open(); });
    return latch_.Wait();
  }

 private:
  Latch latch_;
  Timer timer_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_LATCH_H_
