#include "server/remote/first_of.h"

#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <new>
#include <utility>

#include "lib/base/deferred.h"
#include "lib/base/latch.h"
#include "lib/base/task_scope.h"

namespace portreeve::server {

Task<> FirstOf(Task<> a, Task<> b, Task<> c) {
  const Executor executor = co_await asio::this_coro::executor;
  const Ivar<> over(executor);
  Latch joined(executor);
  TaskScope tasks(executor);
  std::exception_ptr error;
  const auto on_exit = [&](std::exception_ptr e) {
    if (over.FillIfEmpty()) error = e;
  };
  // A cancellation is thrown once all are joined.
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto state = co_await asio::this_coro::cancellation_state;
  std::exception_ptr no_memory;
  try {
    for (Task<>* const task : {&a, &b, &c}) {
      tasks.Spawn(std::move(*task), on_exit);
    }
    if (state.cancelled() == asio::cancellation_type::none) {
      const auto [ec] = co_await over.deferred().Wait(kTuple);
      if (ec == asio::error::no_memory) throw std::bad_alloc();
    }
  } catch (...) {
    no_memory = std::current_exception();
  }
  over.FillIfEmpty();
  tasks.Cancel();
  tasks.OpenWhenEmpty(joined);  // They refer to this.
  co_await joined.Wait();
  co_await asio::this_coro::throw_if_cancelled(throws);
  if (error) std::rethrow_exception(error);
  if (no_memory) std::rethrow_exception(no_memory);
  if (state.cancelled() != asio::cancellation_type::none) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
}

}  // namespace portreeve::server
