// Ivar and Deferred: a value that is written once and awaited by many
// (docs/CONFORMANCE.md, C5).
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_BASE_DEFERRED_H_
#define PORTREEVE_LIB_BASE_DEFERRED_H_

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <type_traits>
#include <utility>

#include "lib/base/asio.h"
#include "lib/base/check.h"
#include "lib/base/deferred_state.h"
#include "lib/base/executor.h"

namespace portreeve {

template <typename T>
class Ivar;

namespace internal {

// Whether what is awaited with this token is awaited by a coroutine.
template <typename Token>
inline constexpr bool kIsOfCoroutine = false;
template <typename E>
inline constexpr bool kIsOfCoroutine<asio::use_awaitable_t<E>> = true;
template <typename Token>
inline constexpr bool kIsOfCoroutine<asio::as_tuple_t<Token>> =
    kIsOfCoroutine<Token>;

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
//
// Memory: whoever has begun to wait is called without any more.  A coroutine
// that finds none then goes on at once with the error no_memory; others are
// thrown std::bad_alloc, and are not called.
// T is copyable and default-constructible.
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
    constexpr bool kIsCoroutine = internal::kIsOfCoroutine<std::decay_t<Token>>;
    auto initiate = [](auto handler, std::shared_ptr<State> state) {
      state->template AddWaiter<kIsCoroutine>(std::move(handler));
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
