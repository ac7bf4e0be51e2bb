#include "lib/base/task_scope.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <boost/asio/post.hpp>
#include <new>
#include <utility>
#include <vector>

#include "lib/base/check.h"
#include "lib/base/guarded.h"
#include "lib/base/loop_service.h"

namespace portreeve {

TaskScope::TaskScope(Executor executor)
    : executor_(std::move(executor)),
      unwind_memory_(OfLoop<internal::UnwindMemory>(LoopOf(executor_))) {}

TaskScope::~TaskScope() { PORTREEVE_CHECK(running_.empty()); }

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

// The end of a task.  Its slot is a member, not bound, for Asio emits at once
// only where the handler has no executor of its own, as a binder has; else it
// would post the emission to a task that may be gone by then.
//
// A coroutine that finds no memory where it is to wait is destroyed by Asio,
// and this with it: that is its end, too.
class TaskScope::ExitHandler {
 public:
  using cancellation_slot_type = asio::cancellation_slot;

  ExitHandler(TaskScope& scope, RunningTasks::iterator running, OnExit on_exit)
      : scope_(&scope), running_(running), on_exit_(std::move(on_exit)) {
    running_->exit_handler = this;
  }
  ExitHandler(ExitHandler&& other) noexcept
      : scope_(std::exchange(other.scope_, nullptr)),
        running_(other.running_),
        on_exit_(std::move(other.on_exit_)) {
    if (scope_ != nullptr) running_->exit_handler = this;
  }
  ExitHandler& operator=(ExitHandler&&) = delete;
  ~ExitHandler() {
    if (scope_ == nullptr) return;
    if (running_->spawned) {
      (*this)(std::make_exception_ptr(std::bad_alloc()));
    } else {
      running_->exit_handler = nullptr;
    }
  }

  cancellation_slot_type get_cancellation_slot() const noexcept {
    return running_->signal.slot();
  }

  void operator()(std::exception_ptr error) {
    TaskScope& scope = *std::exchange(scope_, nullptr);
    Guarded([&] { on_exit_(error); });
    Guarded([&] { scope.OnTaskExit(running_); });
  }

  // It never was one.
  void Forget() { scope_ = nullptr; }

 private:
  TaskScope* scope_;  // Null once it has ended.
  RunningTasks::iterator running_;
  OnExit on_exit_;
};

// The scope outlives it.
Task<> TaskScope::RunTask(TaskScope* scope, Running* running, Task<> task) {
  running->begun = true;
  if (scope->cancelled_) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  // co_spawn would begin within the call.
  const Executor executor = co_await asio::this_coro::executor;
  co_await asio::post(executor, kAwait);
  co_await std::move(task);
}

bool TaskScope::SpawnOn(Executor executor, Task<> task, OnExit on_exit) {
  if (cancelled_) return false;
  unwind_memory_.Reserve();
  RunningTasks::iterator running;
  try {
    running = running_.emplace(running_.end());
  } catch (...) {
    unwind_memory_.GiveBack();
    throw;
  }
  try {
    asio::co_spawn(executor, RunTask(this, &*running, std::move(task)),
                   ExitHandler(*this, running, std::move(on_exit)));
    running->spawned = true;
  } catch (...) {
    // Out of memory: it never began, and will not end.  What Asio has made of
    // it by then may go later.
    if (running->exit_handler != nullptr) running->exit_handler->Forget();
    running_.erase(running);
    unwind_memory_.GiveBack();
    throw;
  }
  return true;
}

void TaskScope::OnTaskExit(RunningTasks::iterator it) {
  running_.erase(it);
  unwind_memory_.GiveBack();
  if (!running_.empty()) return;
  if (Latch* const latch = std::exchange(latch_, nullptr)) latch->Open();
  for (const Ivar<>& joiner : std::exchange(joiners_, {})) joiner.Fill();
}

void TaskScope::Cancel() {
  cancelled_ = true;
  // Emitting runs no task, it only posts, so the list stands still.
  for (Running& running : running_) {
    // Asio 1.26 loses a coroutine that is cancelled before it has begun.
    if (!running.begun) continue;
    // Without memory for it the operation, and the task with it, is destroyed.
    Guarded([&] { running.signal.emit(asio::cancellation_type::terminal); });
  }
}

void TaskScope::OpenWhenEmpty(Latch& latch) {
  PORTREEVE_CHECK(latch_ == nullptr);
  if (running_.empty()) return latch.Open();
  latch_ = &latch;
}

Task<> TaskScope::Join() {
  while (!running_.empty()) {
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
  } catch (const asio::multiple_exceptions& e) {
    // What Asio's && and || throw: the first one tells.
    return IsCancelled(e.first_exception());
  } catch (...) {
    return false;
  }
}

}  // namespace portreeve
