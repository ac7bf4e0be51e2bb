// Loop: an io_context and the one thread that runs it.
#ifndef PORTREEVE_LIB_BASE_LOOP_H_
#define PORTREEVE_LIB_BASE_LOOP_H_

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

#include "lib/base/asio.h"
#include "lib/base/executor.h"

namespace portreeve {

// What belongs to a loop is used on the loop's thread only; other threads reach
// it through Post(), Run() and RunTask().
//
// What a posted function throws goes to the top-level monitor; the loop goes
// on.
//
// Threads: any, but for the destructor and Join().
// Lifetime: it must outlive everything that runs on it.
class Loop {
 public:
  // Starts the thread, which `ps` and /proc show as `name`, of at most 15
  // characters.
  explicit Loop(const std::string& name = "loop-0");
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop();  // Calls Join().

  asio::io_context& context() { return context_; }

  // Gives the loop with the top-level monitor.
  Executor executor() { return Executor(context_.get_executor()); }

  // Whether the caller is on the loop's thread.
  bool OnLoop() const { return std::this_thread::get_id() == thread_.get_id(); }

  // Calls `f` in a later step of the loop.
  template <typename F>
  void Post(F f) {
    asio::post(context_, std::move(f));
  }

  // Calls `f` after all that has been posted before, by any thread.  Post()
  // does not promise that: what the loop's own thread posts in a step is queued
  // only at the end of the step, and so behind what other threads post
  // meanwhile.
  template <typename F>
  void PostAfterAll(F f) {
    Post([this, f = std::move(f)]() mutable { Post(std::move(f)); });
  }

  // Calls `f` in a later step of the loop.  The future gets what `f` returns or
  // throws.  Do not wait for the future on the loop.
  template <typename F>
  std::future<std::invoke_result_t<F&>> Run(F f) {
    using Result = std::invoke_result_t<F&>;
    // The task is shared, for a posted function may have to be copied.
    auto task = std::make_shared<std::packaged_task<Result()>>(std::move(f));
    std::future<Result> result = task->get_future();
    Post([task] { (*task)(); });
    return result;
  }

  // Runs a coroutine to its end; the future gets what it throws.  Nothing
  // cancels the coroutine: it has to end by itself.
  std::future<void> RunTask(Task<> task);

  // Lets the loop end once it has no work left, and waits for that.
  // Idempotent.
  // Threads: the one that made the loop.
  void Join();

 private:
  using WorkGuard = asio::executor_work_guard<asio::io_context::executor_type>;

  void RunContext();

  asio::io_context context_{1};
  WorkGuard work_guard_;
  std::thread thread_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_LOOP_H_
