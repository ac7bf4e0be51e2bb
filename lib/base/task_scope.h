// TaskScope: the owner of coroutines.  It starts them, refuses more once it is
// cancelled, cancels them, and waits for their end.
// Public: for programs outside of this repository, too.
//
//   class Heartbeat {
//    public:
//     explicit Heartbeat(Executor executor) : tasks_(executor) {
//       tasks_.Spawn(Run());
//     }
//     // To be awaited before the Heartbeat goes.
//     Task<> Stop() {
//       tasks_.Cancel();
//       co_await tasks_.Join();
//     }
//
//    private:
//     Task<> Run() {
//       for (;; ++beats_) co_await Sleep(std::chrono::seconds(1));
//     }
//
//     int beats_ = 0;
//     TaskScope tasks_;  // Last: the task uses what stands before it.
//   };
#ifndef PORTREEVE_LIB_BASE_TASK_SCOPE_H_
#define PORTREEVE_LIB_BASE_TASK_SCOPE_H_

#include <boost/asio/cancellation_signal.hpp>
#include <exception>
#include <functional>
#include <list>

#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/latch.h"
#include "lib/base/unwind_memory.h"

namespace portreeve {

// Owns the coroutines that it spawned.  Make it the last member of an object
// whose coroutines refer to the object, and Join() before the object goes.
//
// Threads: loop thread only.
// Lifetime: destroying it while a coroutine of it runs is a CHECK failure.
class TaskScope {
 public:
  // Called when a task has ended, with what it threw, or null; and with
  // std::bad_alloc when it was destroyed, since there was no memory where it
  // was to wait.  It must not throw, and may spawn again.
  using OnExit = std::function<void(std::exception_ptr)>;

  // What a task throws goes to `executor`'s monitor, unless it was given an
  // OnExit of its own, or was cancelled and throws operation_aborted.
  explicit TaskScope(Executor executor);
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;
  ~TaskScope();

  // Runs `task`, from a later step of the loop on.  Once the scope is cancelled
  // it returns false, and `task` is destroyed without having run.  Where there
  // is no memory for the task it throws std::bad_alloc, and the scope is as
  // before.
  bool Spawn(Task<> task);
  bool Spawn(Task<> task, OnExit on_exit);

  // Does the same on another executor of the same loop, for another monitor.
  bool SpawnOn(Executor executor, Task<> task, OnExit on_exit);

  // Asks every task to end by terminal cancellation, which ends the operation
  // that the task waits for with operation_aborted.  Later Spawns are refused.
  void Cancel();

  // Completes when no task is left.  It cancels none.
  // Cancellation: ends the wait only.
  Task<> Join();
  // Opens `latch` once no task is left, which may be now: for whoever has to be
  // sure to join, whatever memory there is.  There is one latch at a time.
  // Lifetime: `latch` must outlive the tasks.
  void OpenWhenEmpty(Latch& latch);

  bool empty() const { return running_.empty(); }
  bool cancelled() const { return cancelled_; }

 private:
  class ExitHandler;
  struct Running {
    asio::cancellation_signal signal;
    bool spawned = false;
    bool begun = false;
    ExitHandler* exit_handler = nullptr;  // Where it is now.
  };
  using RunningTasks = std::list<Running>;

  static Task<> RunTask(TaskScope* scope, Running* running, Task<> task);
  void OnTaskExit(RunningTasks::iterator it);

  const Executor executor_;
  internal::UnwindMemory& unwind_memory_;
  bool cancelled_ = false;
  RunningTasks running_;
  std::list<Ivar<>> joiners_;
  Latch* latch_ = nullptr;  // Of OpenWhenEmpty().
};

// Whether `error` is what a cancelled operation throws.
bool IsCancelled(std::exception_ptr error);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_TASK_SCOPE_H_
