// WorkerPool: the clients that serve the connections of one listener with a
// remote handler (proto/portreeve/v1/handler.proto).
#ifndef PORTREEVE_SERVER_REMOTE_WORKER_POOL_H_
#define PORTREEVE_SERVER_REMOTE_WORKER_POOL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/time_source.h"
#include "portreeve/v1/connection.pb.h"
#include "portreeve/v1/handler.pb.h"
#include "server/remote/claim.h"

namespace portreeve::server {

// A client's Handle call.  No method may block, or call the pool.
// Threads: loop thread only.
class Worker {
 public:
  virtual ~Worker() = default;

  virtual void Offer(const v1::Connection& connection) = 0;
  virtual void AskForVerdict(const v1::HandleResponse::HandlerError& error) = 0;
  // The listener needs no workers any more.  The pool has let go of it.
  virtual void Dismiss() = 0;
};

// Threads: loop thread only.
// Lifetime: the pool must outlive its coroutines; each worker must leave before
// it is destroyed.
class WorkerPool {
 public:
  // `prefix` distinguishes this pool's questions from those of another pool.
  // `on_presence_change` is called when the first worker comes and when the
  // last one has left; it may call nothing of the pool but has_workers().
  WorkerPool(Executor executor, std::string prefix,
             std::function<void()> on_presence_change);
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // From now on `worker` takes its turns.  Gives its number.
  int64_t Join(Worker& worker);
  // What the worker was offered, or asked, and has not answered goes to the
  // next one.
  void Leave(int64_t number);
  // Dismisses every worker.  An offer that it has stands until its time is up,
  // so that a client which is about to take it can; then it is tried with
  // whoever has joined since.  Its questions go to nobody else: they are RAISE.
  void DismissAll();
  bool has_workers() const { return !workers_.empty(); }
  size_t num_workers() const { return workers_.size(); }
  // Gives how many connections are offered, and taken by nobody yet.
  int64_t num_offered() const { return num_offered_; }

  // Offers the connection of `claim` to one worker after the other, each of
  // those that are there once, with `claim_timeout` for each, until anybody
  // takes it: true; false when no worker is left.  `describe` gives what the
  // offer says of the connection, at that moment.
  // Cancellation: terminal.
  Task<bool> Offer(std::shared_ptr<Claim> claim, Duration claim_timeout,
                   std::function<v1::Connection()> describe);

  // Returns once there is a worker, or `claim` is taken, or `timeout` over: for
  // what must not be given up because the workers are on their way.
  // Cancellation: terminal.
  Task<> AwaitOne(std::shared_ptr<Claim> claim, Duration timeout);

  // What becomes of a question while there is no worker: RAISE, or it waits for
  // the next one that joins, within its timeout.
  enum class WithoutWorkers { kRaise, kAwaitOne };

  // Asks worker `first`, or if it is gone another one, what shall become of the
  // listener.  Gives true for RETURN; false for RAISE, without a verdict within
  // `timeout`, and without a worker.
  // Cancellation: terminal.
  Task<bool> AskForVerdict(int64_t first, std::string connection,
                           std::string message, Duration timeout,
                           WithoutWorkers without_workers);

  // Gives the number of the last question.
  int64_t last_question() const { return last_question_; }
  // Has questions be numbered on from one of another process's pool for the
  // same listener, whose questions are answered too late from here on.  There
  // must have been none yet.
  void SetLastQuestion(int64_t number);

  // Takes a worker's verdict.  One that comes too late has no effect.
  // Errors: INVALID_FIELD for an id that was never asked with, and for a
  // verdict that is neither RETURN nor RAISE.
  absl::Status Give(const v1::HandleRequest::Verdict& verdict);

 private:
  struct Entry {
    Worker* worker;
    Ivar<> left;  // By itself: its offers are free.
    Ivar<> gone;  // In whatever way: it answers nothing.
  };
  using Workers = std::map<int64_t, Entry>;
  using Numbers = std::set<int64_t>;

  // Determined when the next worker has joined.
  Deferred<> NextJoin();
  // Gives the next in turn of the workers that are not in `tried`, or end().
  Workers::iterator Next(const Numbers& tried);
  std::string QuestionId(int64_t number) const;
  // Gives 0 for an id that was never asked with.
  int64_t ParseQuestionId(const std::string& id) const;
  Task<bool> Ask(v1::HandleResponse::HandlerError question, int64_t first,
                 Deferred<bool> verdict, TimePoint deadline,
                 WithoutWorkers without_workers);

  const Executor executor_;
  TimeSource& time_;
  const std::string prefix_;
  const std::function<void()> on_presence_change_;
  int64_t last_worker_ = 0;
  int64_t last_turn_ = 0;  // The worker whose turn it was last.
  Workers workers_;
  std::optional<Ivar<>> next_join_;  // Where somebody waits for it.
  int64_t num_offered_ = 0;
  int64_t last_question_ = 0;
  std::map<int64_t, Ivar<bool>> questions_;  // Not answered yet.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REMOTE_WORKER_POOL_H_
