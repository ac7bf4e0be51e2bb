// DeferredState: what the handles of deferred.h share: the value, and those who
// wait for it.
#ifndef PORTREEVE_LIB_BASE_DEFERRED_STATE_H_
#define PORTREEVE_LIB_BASE_DEFERRED_STATE_H_

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "lib/base/block_allocator.h"
#include "lib/base/executor.h"

namespace portreeve::internal {

template <typename T>
struct DeferredTypes {
  using Stored = T;
  using Signature = void(error_code, T);
  using Function = std::function<void(const T&)>;
};
template <>
struct DeferredTypes<void> {
  using Stored = std::monostate;
  using Signature = void(error_code);
  using Function = std::function<void()>;
};

template <typename T>
class DeferredState : public std::enable_shared_from_this<DeferredState<T>> {
 public:
  using Types = DeferredTypes<T>;
  using Stored = typename Types::Stored;
  using Function = typename Types::Function;

  explicit DeferredState(Executor executor) : executor_(std::move(executor)) {}
  DeferredState(const DeferredState&) = delete;
  DeferredState& operator=(const DeferredState&) = delete;
  ~DeferredState() {
    while (Waiter* const waiter = waiters_.TakeFirst()) waiter->Drop();
    while (Waiter* const function = functions_.TakeFirst()) function->Drop();
  }

  bool determined() const { return value_.has_value(); }
  const Stored& value() const { return *value_; }

  // Returns false if it was determined already.
  bool Fill(Stored value) {
    if (determined()) return false;
    value_.emplace(std::move(value));
    for (Waiters* const waiters : {&waiters_, &functions_}) {
      while (Waiter* const waiter = waiters->TakeFirst()) {
        waiter->Complete(this->shared_from_this(), error_code());
      }
    }
    return true;
  }

  // Where there is no memory for it a coroutine is told so; for others it is
  // thrown, and the handler is destroyed.
  template <bool kIsCoroutine, typename Handler>
  void AddWaiter(Handler handler) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    Waiter* waiter = nullptr;
    try {
      waiter = WaiterFor<Handler>::Make(handler, executor_);
    } catch (const std::bad_alloc&) {
      if constexpr (!kIsCoroutine) throw;
      // Thrown from here, it would make Asio destroy the coroutine.
      return Call(std::move(handler), asio::error::no_memory, Stored());
    }
    if (determined()) {
      waiter->Complete(this->shared_from_this(), error_code());
      return;
    }
    waiters_.PushBack(waiter);
    if (!slot.is_connected()) return;
    try {
      slot.assign([weak = this->weak_from_this(),
                   waiter](asio::cancellation_type type) {
        const auto self = weak.lock();
        if (!self || type == asio::cancellation_type::none) return;
        self->waiters_.Remove(waiter);
        waiter->Complete(self, asio::error::operation_aborted);
      });
    } catch (const std::bad_alloc&) {
      // It could not be cancelled.
      waiters_.Remove(waiter);
      if constexpr (kIsCoroutine) {
        waiter->Complete(this->shared_from_this(), asio::error::no_memory);
      } else {
        waiter->Drop();
        throw;
      }
    }
  }

  void AddFunction(Function f) {
    Waiter* const waiter = FunctionWaiter::Make(std::move(f));
    if (determined()) {
      waiter->Complete(this->shared_from_this(), error_code());
    } else {
      functions_.PushBack(waiter);
    }
  }

 private:
  // Somebody who waits, in a block of memory that is that of the call, too: who
  // has begun to wait is called, whatever memory there is by then.
  class Waiter {
   public:
    Waiter() = default;
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    // Posts the call; this is gone then.
    virtual void Complete(std::shared_ptr<DeferredState> state,
                          error_code ec) noexcept = 0;
    // Instead: it is destroyed uncalled.
    virtual void Drop() = 0;

    Waiter* next = nullptr;
    Waiter* previous = nullptr;

   protected:
    ~Waiter() = default;
  };

  // The oldest first.
  struct Waiters {
    void PushBack(Waiter* waiter) {
      waiter->previous = last;
      (last == nullptr ? first : last->next) = waiter;
      last = waiter;
    }
    void Remove(Waiter* waiter) {
      (waiter->previous == nullptr ? first : waiter->previous->next) =
          waiter->next;
      (waiter->next == nullptr ? last : waiter->next->previous) =
          waiter->previous;
    }
    Waiter* TakeFirst() {
      Waiter* const taken = first;
      if (taken != nullptr) Remove(taken);
      return taken;
    }

    Waiter* first = nullptr;
    Waiter* last = nullptr;
  };

  // More than what Asio adds to a call that is posted.
  static constexpr std::size_t kBytesOfPost = 128;

  template <typename Handler>
  static void Call(Handler&& handler, error_code ec, const Stored& value) {
    if constexpr (std::is_void_v<T>) {
      std::move(handler)(ec);
    } else {
      std::move(handler)(ec, ec ? T() : value);
    }
  }

  template <typename Handler>
  class WaiterFor final : public Waiter {
   public:
    // Takes the handler once there is memory.
    static Waiter* Make(Handler& handler, const Executor& fallback) {
      return new (::operator new(kBytes))
          WaiterFor(std::move(handler), fallback);
    }

    void Complete(std::shared_ptr<DeferredState> state,
                  error_code ec) noexcept override {
      // Before the post: a signal that is emitted later must find nothing.
      asio::get_associated_cancellation_slot(handler_).clear();
      const auto executor = state->executor_.inner();
      Posted posted{std::move(work_), std::move(state), ec,
                    std::move(handler_)};
      this->~WaiterFor();
      // Not a post to the handler's executor, for that of use_future has
      // threads of its own.
      asio::post(executor, asio::bind_allocator(BlockAllocator<>(this, kBytes),
                                                std::move(posted)));
    }

    void Drop() override {
      this->~WaiterFor();
      ::operator delete(this);
    }

   private:
    using HandlerExecutor = asio::associated_executor_t<Handler, Executor>;
    using Work = asio::executor_work_guard<HandlerExecutor>;

    struct Posted {
      void operator()() {
        const HandlerExecutor executor = work.get_executor();
        auto run = [state = std::move(state), ec = ec,
                    handler = std::move(handler)]() mutable {
          Call(std::move(handler), ec,
               state->determined() ? state->value() : Stored());
        };
        asio::dispatch(executor, std::move(run));
      }

      Work work;
      std::shared_ptr<DeferredState> state;
      error_code ec;
      Handler handler;
    };

    WaiterFor(Handler handler, const Executor& fallback)
        : handler_(std::move(handler)),
          work_(asio::get_associated_executor(handler_, fallback)) {}
    ~WaiterFor() = default;

    // What either has beside these is a few pointers.
    static constexpr std::size_t kBytes =
        sizeof(Handler) + sizeof(Work) + 64 + kBytesOfPost;

    Handler handler_;
    Work work_;
  };

  class FunctionWaiter final : public Waiter {
   public:
    static Waiter* Make(Function f) {
      return new (::operator new(kBytes)) FunctionWaiter(std::move(f));
    }

    void Complete(std::shared_ptr<DeferredState> state,
                  error_code) noexcept override {
      const auto executor = state->executor_.inner();
      auto run = [state = std::move(state), f = std::move(f_)] {
        if constexpr (std::is_void_v<T>) {
          f();
        } else {
          f(state->value());
        }
      };
      this->~FunctionWaiter();
      asio::post(executor, asio::bind_allocator(BlockAllocator<>(this, kBytes),
                                                std::move(run)));
    }

    void Drop() override {
      this->~FunctionWaiter();
      ::operator delete(this);
    }

   private:
    static constexpr std::size_t kBytes = sizeof(Function) + 64 + kBytesOfPost;

    explicit FunctionWaiter(Function f) : f_(std::move(f)) {}
    ~FunctionWaiter() = default;

    Function f_;
  };

  const Executor executor_;
  std::optional<Stored> value_;
  Waiters waiters_;
  Waiters functions_;
};

}  // namespace portreeve::internal

#endif  // PORTREEVE_LIB_BASE_DEFERRED_STATE_H_
