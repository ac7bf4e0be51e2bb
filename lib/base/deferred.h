// Ivar and Deferred: a value that is written once and awaited by many
// (docs/CONFORMANCE.md, C5).
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_BASE_DEFERRED_H_
#define PORTREEVE_LIB_BASE_DEFERRED_H_

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "lib/base/asio.h"
#include "lib/base/check.h"
#include "lib/base/executor.h"

namespace portreeve {

template <typename T>
class Ivar;

namespace internal {

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

  bool determined() const { return value_.has_value(); }
  const Stored& value() const { return *value_; }

  // Returns false if it was determined already.
  bool Fill(Stored value) {
    if (determined()) return false;
    value_.emplace(std::move(value));
    auto waiters = std::exchange(waiters_, {});
    for (auto& waiter : waiters) {
      waiter->Complete(this->shared_from_this(), error_code());
    }
    auto functions = std::exchange(functions_, {});
    for (Function& f : functions) PostFunction(std::move(f));
    return true;
  }

  template <typename Handler>
  void AddWaiter(Handler handler) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    auto waiter =
        std::make_unique<WaiterFor<Handler>>(std::move(handler), executor_);
    if (determined()) {
      waiter->Complete(this->shared_from_this(), error_code());
      return;
    }
    waiters_.push_back(std::move(waiter));
    if (!slot.is_connected()) return;
    slot.assign([weak = this->weak_from_this(),
                 it = std::prev(waiters_.end())](asio::cancellation_type type) {
      const auto self = weak.lock();
      if (!self || type == asio::cancellation_type::none) return;
      std::unique_ptr<Waiter> waiter = std::move(*it);
      self->waiters_.erase(it);
      waiter->Complete(self, asio::error::operation_aborted);
    });
  }

  void AddFunction(Function f) {
    if (determined()) {
      PostFunction(std::move(f));
    } else {
      functions_.push_back(std::move(f));
    }
  }

 private:
  class Waiter {
   public:
    virtual ~Waiter() = default;
    // Posts the handler.  It is called once.
    virtual void Complete(std::shared_ptr<DeferredState> state,
                          error_code ec) = 0;
  };

  template <typename Handler>
  class WaiterFor : public Waiter {
   public:
    WaiterFor(Handler handler, const Executor& fallback)
        : handler_(std::move(handler)),
          work_(asio::get_associated_executor(handler_, fallback)) {}

    void Complete(std::shared_ptr<DeferredState> state,
                  error_code ec) override {
      // This comes before the post: a signal that is emitted later must find
      // nothing.
      asio::get_associated_cancellation_slot(handler_).clear();
      const Executor executor = state->executor_;
      auto run = [state = std::move(state), ec,
                  handler = std::move(handler_)]() mutable {
        if constexpr (std::is_void_v<T>) {
          std::move(handler)(ec);
        } else {
          std::move(handler)(ec, ec ? T() : state->value());
        }
      };
      // It is not posted to the handler's executor, for that of use_future has
      // threads of its own.
      asio::post(executor,
                 [work = std::move(work_), run = std::move(run)]() mutable {
                   asio::dispatch(work.get_executor(), std::move(run));
                 });
    }

   private:
    using HandlerExecutor = asio::associated_executor_t<Handler, Executor>;
    Handler handler_;
    asio::executor_work_guard<HandlerExecutor> work_;
  };

  void PostFunction(Function f) {
    auto run = [self = this->shared_from_this(), f = std::move(f)] {
      if constexpr (std::is_void_v<T>) {
        f();
      } else {
        f(self->value());
      }
    };
    asio::post(executor_, std::move(run));
  }

  const Executor executor_;
  std::optional<Stored> value_;
  std::list<std::unique_ptr<Waiter>> waiters_;
  std::list<Function> functions_;
};

}  // namespace internal

// A handle on a value that is determined once, or never.  Copies are handles on
// the same value and compare equal.  (docs/ARCHITECTURE.md says what
// "determined" and "step" mean here and in every header.)
//
// Whoever waits is resumed in a later step of the loop, never inside Fill(),
// in the order in which they began to wait.
//
// Wait() takes any Asio token of signature void(error_code, T), or
// void(error_code) where T is void.  Without a token it can be awaited.
//
// Cancellation of any type ends that wait with operation_aborted.  The value
// and the other waits are untouched.
// T must be copyable and default-constructible.
// Threads: loop thread only.
template <typename T = void>
class Deferred {
 public:
  using Signature = typename internal::DeferredTypes<T>::Signature;

  bool determined() const { return state_->determined(); }

  // Gives the value (std::monostate where T is void).  CHECKs that it is
  // determined.
  const typename internal::DeferredTypes<T>::Stored& value() const {
    PORTREEVE_CHECK(determined());
    return state_->value();
  }

  // Waits: `T value = co_await deferred.Wait();`
  template <asio::completion_token_for<Signature> Token =
                const asio::use_awaitable_t<Executor>&>
  auto Wait(Token&& token = kAwait) const {
    auto initiate = [](auto handler, std::shared_ptr<State> state) {
      state->AddWaiter(std::move(handler));
    };
    return asio::async_initiate<Token, Signature>(initiate, token, state_);
  }

  // Calls `f` with the value in a later step of the loop.  `f` must not throw.
  // It is destroyed uncalled where the value is never determined.
  void Upon(typename internal::DeferredTypes<T>::Function f) const {
    state_->AddFunction(std::move(f));
  }

  friend bool operator==(const Deferred& a, const Deferred& b) {
    return a.state_ == b.state_;
  }

 private:
  friend class Ivar<T>;
  using State = internal::DeferredState<T>;
  explicit Deferred(std::shared_ptr<State> state) : state_(std::move(state)) {}

  std::shared_ptr<State> state_;
};

// Waits for `deferred` and gives nothing, for Asio's awaitable operators:
// `co_await (Await(closed) || Sleep(most))`.
template <typename T>
Task<> Await(Deferred<T> deferred) {
  co_await deferred.Wait();
}

// The writing end of a Deferred.  Copies write the same value.
// Threads: loop thread only.
template <typename T = void>
class Ivar {
 public:
  // On `executor` the functions of Upon() run, and those waiters that have no
  // executor of their own.
  explicit Ivar(Executor executor)
      : state_(std::make_shared<State>(std::move(executor))) {}

  // Determines the value.  CHECKs that it is not determined yet.
  template <typename... U>
  void Fill(U&&... value) const {
    PORTREEVE_CHECK(FillIfEmpty(std::forward<U>(value)...));
  }

  // Determines the value.  Returns false, and has no effect, if it is
  // determined already.
  template <typename... U>
  bool FillIfEmpty(U&&... value) const {
    return state_->Fill(typename State::Stored(std::forward<U>(value)...));
  }

  bool determined() const { return state_->determined(); }

  Deferred<T> deferred() const { return Deferred<T>(state_); }

 private:
  using State = internal::DeferredState<T>;
  std::shared_ptr<State> state_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_DEFERRED_H_
