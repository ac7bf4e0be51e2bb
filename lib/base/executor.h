// Executor: a loop, and the Monitor that is current on it.
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_BASE_EXECUTOR_H_
#define PORTREEVE_LIB_BASE_EXECUTOR_H_

#include <boost/asio/execution.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <new>
#include <type_traits>
#include <utility>

#include "lib/base/loop_service.h"
#include "lib/base/monitor.h"
#include "lib/base/unwind_memory.h"

namespace portreeve {

namespace asio = boost::asio;
using boost::system::error_code;

// An Asio executor that runs everything on `Inner` and carries a Monitor.  In a
// coroutine, `co_await asio::this_coro::executor` gives it, so the current
// monitor follows a coroutine through every suspension, as it does in Async.
// Use it as Executor below; the template is there because Asio's properties
// change the type of the executor within.
template <typename Inner>
class MonitoredExecutor {
 public:
  MonitoredExecutor(Inner inner, Monitor monitor)
      : inner_(std::move(inner)), monitor_(std::move(monitor)) {}

  // Runs on the loop of `inner`, with the top-level monitor.
  MonitoredExecutor(Inner inner)  // NOLINT: implicit, as Asio's own are.
      : inner_(std::move(inner)) {}

  const Inner& inner() const { return inner_; }
  const Monitor& monitor() const { return monitor_; }

  // Gives the same loop with another monitor.
  MonitoredExecutor With(Monitor monitor) const {
    return MonitoredExecutor(inner_, std::move(monitor));
  }

  template <typename F>
  void execute(F&& f) const {
    if constexpr (internal::kMayUnwind<F>) {
      try {
        inner_.execute(std::forward<F>(f));
      } catch (const std::bad_alloc&) {
        // Asio has not taken `f` then.
        auto& memory = OfLoop<internal::UnwindMemory>(
            asio::query(inner_, asio::execution::context));
        asio::require(inner_, asio::execution::allocator(
                                  internal::UnwindMemory::Allocator<>(memory)))
            .execute(std::forward<F>(f));
      }
    } else {
      inner_.execute(std::forward<F>(f));
    }
  }

  template <typename Property>
  requires asio::can_query_v<const Inner&, Property>
  auto query(const Property& p) const { return asio::query(inner_, p); }

  asio::io_context& query(asio::execution::context_t) const {
    return asio::query(inner_, asio::execution::context);
  }

  template <typename Property>
  requires asio::can_require_v<const Inner&, Property>
  auto require(const Property& p) const {
    using Result = std::decay_t<decltype(asio::require(inner_, p))>;
    return MonitoredExecutor<Result>(asio::require(inner_, p), monitor_);
  }

  template <typename Property>
  requires asio::can_prefer_v<const Inner&, Property>
  auto prefer(const Property& p) const {
    using Result = std::decay_t<decltype(asio::prefer(inner_, p))>;
    return MonitoredExecutor<Result>(asio::prefer(inner_, p), monitor_);
  }

  friend bool operator==(const MonitoredExecutor& a,
                         const MonitoredExecutor& b) noexcept {
    return a.inner_ == b.inner_ && a.monitor_ == b.monitor_;
  }
  friend bool operator!=(const MonitoredExecutor& a,
                         const MonitoredExecutor& b) noexcept {
    return !(a == b);
  }

 private:
  Inner inner_;
  Monitor monitor_;
};

using Executor = MonitoredExecutor<asio::io_context::executor_type>;

// Gives the loop behind an executor.
inline asio::io_context& LoopOf(const Executor& executor) {
  return executor.query(asio::execution::context);
}

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_EXECUTOR_H_
