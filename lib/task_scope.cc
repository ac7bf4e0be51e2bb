#include "lib/task_scope.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <utility>
#include <vector>

#include "lib/check.h"

namespace portreeve {

namespace {

// co_spawn would begin within the call.
Task<> BeginLater(Task<> task) {
  const Executor executor = co_await asio::this_coro::executor;
  co_await asio::post(executor, kAwait);
  co_await std::move(task);
}

}  // namespace

TaskScope::TaskScope(Executor executor) : executor_(std::move(executor)) {}

TaskScope::~TaskScope() { PORTREEVE_CHECK(signals_.empty()); }

bool TaskScope::Spawn(Task<> task) {
  auto to_monitor = [this](std::exception_ptr error) {
    if (error && !(cancelled_ && IsCancelled(error))) {
      executor_.monitor().Send(error);
    }
  };
  return SpawnOn(executor_, std::move(task), to_monitor);
}

bool TaskScope::Spawn(Task<> task, OnExit on_exit) {
  return SpawnOn(executor_, std::move(task), std::move(on_exit));
}

bool TaskScope::SpawnOn(Executor executor, Task<> task, OnExit on_exit) {
  if (cancelled_) return false;
  auto it = signals_.emplace(signals_.end());
  auto done = [this, it,
               on_exit = std::move(on_exit)](std::exception_ptr error) {
    on_exit(error);
    OnTaskExit(it);
  };
  // No bind_executor: Asio would then post the signal's emission to a task that
  // may be gone by then.
  asio::co_spawn(executor, BeginLater(std::move(task)),
                 asio::bind_cancellation_slot(it->slot(), std::move(done)));
  return true;
}

void TaskScope::OnTaskExit(Signals::iterator it) {
  signals_.erase(it);
  if (!signals_.empty()) return;
  for (const Ivar<>& joiner : std::exchange(joiners_, {})) joiner.Fill();
}

void TaskScope::Cancel() {
  cancelled_ = true;
  // Emitting runs no task, it only posts, so the list stands still.
  for (auto& signal : signals_) {
    signal.emit(asio::cancellation_type::terminal);
  }
}

Task<> TaskScope::Join() {
  while (!signals_.empty()) {
    const Ivar<> joined(executor_);
    joiners_.push_back(joined);
    co_await joined.deferred().Wait();
  }
}

bool IsCancelled(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const boost::system::system_error& e) {
    return e.code() == asio::error::operation_aborted;
  } catch (...) {
    return false;
  }
}

}  // namespace portreeve
