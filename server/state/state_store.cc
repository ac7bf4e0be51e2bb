#include "server/state/state_store.h"

#include <pthread.h>

#include <algorithm>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/guarded.h"
#include "lib/base/log.h"
#include "lib/base/mutex.h"
#include "lib/base/status.h"
#include "server/api/errors.h"
#include "server/api/timestamp.h"
#include "server/state/inspection.h"
#include "server/state/state_errors.h"

namespace portreeve::server {
namespace {

// What a row takes beyond its texts.
constexpr size_t kFrame = 64;

size_t SizeOf(const ListenerRow& row) {
  return kFrame + row.id.size() + row.record.size();
}
size_t SizeOf(const RequestRow& row) {
  return kFrame + row.request_id.size() + row.record.size();
}
size_t SizeOf(const EraseListener& erase) { return kFrame + erase.id.size(); }
size_t SizeOf(const EraseRequest&) { return kFrame; }

size_t SizeOf(const std::vector<StateChange>& changes) {
  size_t size = 0;
  for (const StateChange& change : changes) {
    size += std::visit([](const auto& c) { return SizeOf(c); }, change);
  }
  return size;
}

absl::Status NoMemory() { return StateUnavailable("the state: no memory"); }

}  // namespace

absl::StatusOr<OpenedState> OpenState(const std::string& path,
                                      const std::string& version) {
  auto directory = StateDirectory::Take(path);
  if (!directory.ok()) return directory.status();
  auto database = Database::Open(path, version);
  if (!database.ok()) return WithAdvice(database.status(), path);
  auto contents = (*database)->Read();
  if (!contents.ok()) {
    *database = nullptr;
    return WithAdvice(contents.status(), path);
  }
  if (auto s = (*database)->Begin(); !s.ok()) return s;
  return OpenedState{*std::move(directory), *std::move(database),
                     *std::move(contents)};
}

struct StateStore::Result {
  absl::Status status;
  bool wal_is_long = false;
  int64_t changes = 0;
  int64_t listeners = 0;
  int64_t requests = 0;
  int64_t bytes = 0;
  Duration took{};
};

// The thread, and what it shares with the loop.
class StateStore::Thread : public std::enable_shared_from_this<Thread> {
 public:
  struct Order {
    CommitPolicy::Job job = CommitPolicy::Job::kNone;
    std::vector<StateChange> changes;  // Of kCommit.
    StateRows rows;                    // Of kRecover.
  };

  Thread(asio::io_context& loop, std::unique_ptr<Database> database)
      : loop_(loop), database_(std::move(database)) {}

  // Throws std::system_error.
  void Start() {
    thread_ = std::thread([self = shared_from_this()] { self->Run(); });
    (void)pthread_setname_np(thread_.native_handle(), "state");
  }

  // These are called on the loop.

  // There must be no other order that is not done.
  void Submit(Order order) PORTREEVE_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    order_ = std::move(order);
    changed_.NotifyAll();
  }

  // Calls `owner` no more, and waits for the end.
  void Join() PORTREEVE_EXCLUDES(mutex_) {
    owner = nullptr;
    {
      const MutexLock lock(mutex_);
      stop_ = true;
      changed_.NotifyAll();
    }
    if (thread_.joinable()) thread_.join();
  }

  // Who is told of what is done.
  StateStore* owner = nullptr;
  // Proceed() is in the loop's queue, and uses the memory.
  HandlerMemory proceed_memory;

 private:
  void Run() {
    for (bool ended = false; !ended;) {
      Order order;
      if (!TakeOrder(order)) break;
      Result result = Do(order);
      ended = order.job == CommitPolicy::Job::kEnd ||
              order.job == CommitPolicy::Job::kGiveUp;
      // Others may have the directory once the loop has heard of the end.
      if (ended) database_ = nullptr;
      Report(order.job, std::move(result));
    }
    database_ = nullptr;
  }

  bool TakeOrder(Order& order) PORTREEVE_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    while (!order_ && !stop_) changed_.Wait(mutex_);
    if (stop_) return false;
    order = *std::exchange(order_, std::nullopt);
    return true;
  }

  Result Do(const Order& order) {
    Result result;
    const auto before = std::chrono::steady_clock::now();
    try {
      result.status = DoOrThrow(order);
    } catch (const std::bad_alloc&) {
      result.status = NoMemory();
    }
    result.took = std::chrono::steady_clock::now() - before;
    result.changes = static_cast<int64_t>(order.changes.size());
    result.wal_is_long = database_->wal_is_long();
    result.listeners = database_->num_listeners();
    result.requests = database_->num_requests();
    result.bytes = database_->Bytes();
    return result;
  }

  absl::Status DoOrThrow(const Order& order) {
    switch (order.job) {
      case CommitPolicy::Job::kNone:
        break;
      case CommitPolicy::Job::kCommit:
        return database_->Commit(order.changes);
      case CommitPolicy::Job::kTrim:
        return database_->TrimWal();
      case CommitPolicy::Job::kRecover:
        return database_->Recover(order.rows);
      case CommitPolicy::Job::kSuspend:
        return database_->Close();
      case CommitPolicy::Job::kEnd:
        if (auto s = database_->End(); !s.ok()) return s;
        return database_->Close();
      case CommitPolicy::Job::kGiveUp:
        break;
    }
    return absl::OkStatus();
  }

  void Report(CommitPolicy::Job job, Result result) PORTREEVE_EXCLUDES(mutex_) {
    {
      const MutexLock lock(mutex_);
      result_ = std::move(result);
    }
    // There is one order at a time, and so one report.
    asio::post(loop_, asio::bind_allocator(report_memory_.allocator(),
                                           [self = shared_from_this(), job] {
                                             self->OnReport(job);
                                           }));
  }

  // Called on the loop.
  void OnReport(CommitPolicy::Job job) PORTREEVE_EXCLUDES(mutex_) {
    if (owner == nullptr) return;
    Result result;
    {
      const MutexLock lock(mutex_);
      result = std::move(result_);
    }
    owner->OnResult(job, result);
  }

  asio::io_context& loop_;
  std::thread thread_;
  Mutex mutex_;
  CondVar changed_;
  std::optional<Order> order_ PORTREEVE_GUARDED_BY(mutex_);
  bool stop_ PORTREEVE_GUARDED_BY(mutex_) = false;
  Result result_ PORTREEVE_GUARDED_BY(mutex_);
  HandlerMemory report_memory_;
  std::unique_ptr<Database> database_;  // Is the thread's, while it runs.
};

absl::StatusOr<std::unique_ptr<StateStore>> StateStore::Start(Executor executor,
                                                              OpenedState state,
                                                              Owner owner) {
  std::unique_ptr<StateStore> store(new StateStore(
      std::move(executor), std::move(state.directory), std::move(owner)));
  store->status_.listeners = state.database->num_listeners();
  store->status_.requests = state.database->num_requests();
  store->status_.bytes = state.database->Bytes();
  if (auto s = store->StartThread(std::move(state.database)); !s.ok()) return s;
  return store;
}

absl::StatusOr<std::unique_ptr<StateStore>> StateStore::StartSuspended(
    Executor executor, SuspendedState state, const std::string& version,
    Owner owner) {
  std::unique_ptr<StateStore> store(new StateStore(
      std::move(executor), std::move(state.directory), std::move(owner)));
  store->policy_.BeginSuspended();
  auto database =
      Database::Later(store->directory_.path(), version, state.daemon_id);
  if (auto s = store->StartThread(std::move(database)); !s.ok()) return s;
  return store;
}

absl::Status StateStore::StartThread(std::unique_ptr<Database> database) {
  thread_ = std::make_shared<Thread>(LoopOf(executor_), std::move(database));
  thread_->owner = this;
  try {
    thread_->Start();
  } catch (const std::system_error& error) {
    return ErrnoError(error.code().value(), "start", "the thread of the state");
  }
  return absl::OkStatus();
}

StateStore::StateStore(Executor executor, StateDirectory directory, Owner owner)
    : executor_(std::move(executor)),
      directory_(std::move(directory)),
      owner_(std::move(owner)),
      gathered_(TimeSource::Of(executor_)) {
  status_.directory = directory_.path();
}

StateStore::~StateStore() {
  if (thread_ != nullptr) thread_->Join();
}

absl::Status StateStore::Write(ChangeKind kind,
                               std::vector<StateChange> changes, Done done,
                               size_t waiting) {
  if (!given_up_.ok()) return given_up_;
  const size_t size = SizeOf(changes);
  if (!done) waiting = 0;
  // Both queues have it, or none.
  pending_.push_back({std::move(changes), std::move(done)});
  CommitPolicy::Verdict verdict;
  try {
    verdict =
        policy_.OnWrite(kind, size, waiting, TimeSource::Of(executor_).Now());
  } catch (...) {
    pending_.pop_back();
    throw;
  }
  if (verdict == CommitPolicy::Verdict::kQueued) {
    ProceedLater();
    return absl::OkStatus();
  }
  pending_.pop_back();
  switch (verdict) {
    case CommitPolicy::Verdict::kQueued:
      break;
    case CommitPolicy::Verdict::kFailed:
      return ForClients(error_);
    case CommitPolicy::Verdict::kTooMuch:
      return StateUnavailable(
          absl::StrCat(directory_.path(), ": the disk does not keep up"));
    case CommitPolicy::Verdict::kStopped:
      break;
  }
  return ShuttingDown();
}

void StateStore::Suspend(Done done) {
  suspend_done_ = std::move(done);
  policy_.OnSuspend();
  ProceedLater();
}

void StateStore::Resume() {
  // Nobody waits for the end of that any more.
  suspend_done_ = nullptr;
  directory_.Own();
  policy_.OnResume();
  ProceedLater();
}

void StateStore::GiveUp(const absl::Status& status) {
  PORTREEVE_CHECK(policy_.is_suspended() && !policy_.is_busy());
  directory_.HandOver();
  thread_->Join();
  given_up_ = status;
  Answer(pending_.size(), status);
}

void StateStore::Stop(Done done) {
  stop_done_ = std::move(done);
  policy_.OnStop();
  ProceedLater();
}

// So what is written in a step goes together.
void StateStore::ProceedLater() {
  if (policy_.is_busy() || thread_->proceed_memory.is_used()) return;
  asio::post(LoopOf(executor_),
             asio::bind_allocator(thread_->proceed_memory.allocator(),
                                  [thread = thread_] {
                                    if (thread->owner == nullptr) return;
                                    thread->owner->Proceed();
                                  }));
}

void StateStore::Proceed() {
  const CommitPolicy::Job job = policy_.Next();
  if (policy_.is_gathering()) return Gather();
  gathered_.Cancel();
  if (job == CommitPolicy::Job::kNone) {
    if (policy_.is_suspended()) EndSuspend(absl::OkStatus());
    return;
  }
  try {
    Submit(job);
  } catch (...) {
    // There was no memory for the order, or for the rows.
    Result result;
    result.status = NoMemory();
    OnResult(job, result);
  }
}

void StateStore::Gather() {
  if (gathered_.armed()) return;
  gathered_.StartAfter(policy_.gather_time(), [this] {
    policy_.OnGathered();
    ProceedLater();
  });
}

void StateStore::Submit(CommitPolicy::Job job) {
  Thread::Order order;
  order.job = job;
  if (job == CommitPolicy::Job::kCommit) {
    size_t count = 0;
    const auto end =
        pending_.begin() + static_cast<ptrdiff_t>(policy_.num_committing());
    for (auto it = pending_.begin(); it != end; ++it) {
      count += it->changes.size();
    }
    order.changes.reserve(count);
    for (auto it = pending_.begin(); it != end; ++it) {
      std::move(it->changes.begin(), it->changes.end(),
                std::back_inserter(order.changes));
    }
  } else if (job == CommitPolicy::Job::kRecover) {
    order.rows = owner_.rows();
  }
  work_.emplace(LoopOf(executor_).get_executor());
  thread_->Submit(std::move(order));
}

void StateStore::OnResult(CommitPolicy::Job job, const Result& result) {
  work_.reset();
  const bool ok = result.status.ok();
  if (!ok) {
    error_ = result.status;
    ++status_.failures;
  } else {
    status_.listeners = result.listeners;
    status_.requests = result.requests;
    status_.bytes = result.bytes;
  }
  if (ok && job == CommitPolicy::Job::kRecover) ++status_.recoveries;
  if (ok && job == CommitPolicy::Job::kCommit) {
    ++status_.commits;
    status_.changes += result.changes;
    status_.commit_time += result.took;
    status_.longest_commit = std::max(status_.longest_commit, result.took);
    status_.last_commit_time = UnixNanosNow();
    if (result.wal_is_long) policy_.WantTrim();
  }
  const CommitPolicy::Outcome outcome =
      policy_.OnDone(ok, result.took, TimeSource::Of(executor_).Now());
  NoteHealth(result.status);
  Answer(outcome.acknowledged, absl::OkStatus());
  if (outcome.refused > 0) Answer(outcome.refused, ForClients(error_));
  if (job == CommitPolicy::Job::kSuspend) {
    EndSuspend(result.status);
    return ProceedLater();  // It may have been resumed meanwhile.
  }
  if (policy_.is_stopped()) {
    const Done done = std::exchange(stop_done_, nullptr);
    const absl::Status status =
        job == CommitPolicy::Job::kEnd ? result.status : error_;
    if (done) Guarded(executor_.monitor(), [&] { done(status); });
    return;
  }
  ProceedLater();
}

void StateStore::EndSuspend(const absl::Status& status) {
  const Done done = std::exchange(suspend_done_, nullptr);
  if (done) Guarded(executor_.monitor(), [&] { done(status); });
}

void StateStore::NoteHealth(const absl::Status& status) {
  const bool healthy = policy_.healthy();
  if (!healthy && !status.ok()) status_.message = std::string(status.message());
  if (healthy == status_.healthy) return;
  status_.healthy = healthy;
  if (healthy) {
    status_.message.clear();
    Log(LogLevel::kInfo,
        absl::StrCat("state: ", directory_.path(),
                     " is written again, and has all changes"));
  } else {
    Log(LogLevel::kError,
        absl::StrCat("state: changes are refused: ", status.message()));
  }
  if (owner_.on_health) {
    Guarded(executor_.monitor(), [&] { owner_.on_health(healthy); });
  }
}

void StateStore::Answer(size_t count, const absl::Status& status) {
  for (; count > 0; --count) {
    const Done done = std::move(pending_.front().done);
    pending_.pop_front();
    if (done) Guarded(executor_.monitor(), [&] { done(status); });
  }
}

}  // namespace portreeve::server
