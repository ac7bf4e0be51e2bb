#include "server/remote/worker_pool.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/base/check.h"
#include "lib/base/status.h"
#include "server/remote/first_of.h"

namespace portreeve::server {

WorkerPool::WorkerPool(Executor executor, std::string prefix,
                       std::function<void()> on_presence_change)
    : executor_(std::move(executor)),
      time_(TimeSource::Of(executor_)),
      prefix_(std::move(prefix)),
      on_presence_change_(std::move(on_presence_change)) {}

int64_t WorkerPool::Join(Worker& worker) {
  const int64_t number = ++last_worker_;
  const auto added =
      workers_
          .emplace(number, Entry{&worker, Ivar<>(executor_), Ivar<>(executor_)})
          .first;
  // Where there is no memory, it has not joined.
  absl::Cleanup undo = [&] { workers_.erase(added); };
  if (workers_.size() == 1) on_presence_change_();
  std::move(undo).Cancel();
  if (const auto joined = std::exchange(next_join_, {})) joined->Fill();
  return number;
}

void WorkerPool::Leave(int64_t number) {
  const auto it = workers_.find(number);
  PORTREEVE_CHECK(it != workers_.end());
  it->second.left.Fill();
  it->second.gone.Fill();
  workers_.erase(it);
  if (workers_.empty()) on_presence_change_();
}

void WorkerPool::DismissAll() {
  if (workers_.empty()) return;
  const Workers dismissed = std::exchange(workers_, {});
  on_presence_change_();
  for (const auto& [number, entry] : dismissed) {
    entry.gone.Fill();
    entry.worker->Dismiss();
  }
}

WorkerPool::Workers::iterator WorkerPool::Next(const Numbers& tried) {
  auto it = workers_.upper_bound(last_turn_);
  for (size_t i = 0; i < workers_.size(); ++i, ++it) {
    if (it == workers_.end()) it = workers_.begin();
    if (tried.count(it->first) > 0) continue;
    last_turn_ = it->first;
    return it;
  }
  return workers_.end();
}

Task<bool> WorkerPool::Offer(std::shared_ptr<Claim> claim,
                             Duration claim_timeout,
                             std::function<v1::Connection()> describe) {
  Numbers tried;
  ++num_offered_;
  const absl::Cleanup offered_no_more = [this] { --num_offered_; };
  while (!claim->is_taken()) {
    const auto it = Next(tried);
    if (it == workers_.end()) co_return false;
    tried.insert(it->first);
    claim->offered_to = it->first;
    const Deferred<> left = it->second.left.deferred();
    it->second.worker->Offer(describe());
    co_await FirstOf(Await(claim->taken()), Await(left), Sleep(claim_timeout));
  }
  co_return true;
}

Deferred<> WorkerPool::NextJoin() {
  if (!next_join_) next_join_.emplace(executor_);
  return next_join_->deferred();
}

Task<> WorkerPool::AwaitOne(std::shared_ptr<Claim> claim, Duration timeout) {
  if (!workers_.empty() || claim->is_taken()) co_return;
  const Deferred<> joined = NextJoin();
  ++num_offered_;
  const absl::Cleanup offered_no_more = [this] { --num_offered_; };
  co_await FirstOf(Await(joined), Await(claim->taken()), Sleep(timeout));
}

Task<bool> WorkerPool::AskForVerdict(int64_t first, std::string connection,
                                     std::string message, Duration timeout,
                                     WithoutWorkers without_workers) {
  const int64_t number = ++last_question_;
  const Ivar<bool> verdict(executor_);
  questions_.emplace(number, verdict);
  v1::HandleResponse::HandlerError question;
  question.set_id(QuestionId(number));
  question.set_connection(std::move(connection));
  question.set_message(std::move(message));
  bool returned = false;
  std::exception_ptr error;
  try {
    returned = co_await Ask(std::move(question), first, verdict.deferred(),
                            time_.Now() + timeout, without_workers);
  } catch (...) {
    error = std::current_exception();
  }
  questions_.erase(number);
  if (error) std::rethrow_exception(error);
  co_return returned;
}

Task<bool> WorkerPool::Ask(v1::HandleResponse::HandlerError question,
                           int64_t first, Deferred<bool> verdict,
                           TimePoint deadline, WithoutWorkers without_workers) {
  if (workers_.empty() && without_workers == WithoutWorkers::kAwaitOne) {
    const Deferred<> joined = NextJoin();
    co_await FirstOf(Await(joined), Await(verdict),
                     Sleep(deadline - time_.Now()));
  }
  Numbers tried;
  auto it = workers_.find(first);
  if (it == workers_.end()) it = Next(tried);
  while (it != workers_.end() && time_.Now() < deadline) {
    tried.insert(it->first);
    const Deferred<> gone = it->second.gone.deferred();
    it->second.worker->AskForVerdict(question);
    const Duration time_left = deadline - time_.Now();
    co_await FirstOf(Await(verdict), Await(gone), Sleep(time_left));
    if (verdict.determined()) co_return verdict.value();
    it = Next(tried);
  }
  co_return false;
}

void WorkerPool::SetLastQuestion(int64_t number) {
  PORTREEVE_CHECK(last_question_ == 0 && number >= 0);
  last_question_ = number;
}

std::string WorkerPool::QuestionId(int64_t number) const {
  return absl::StrCat(prefix_, "-", number);
}

int64_t WorkerPool::ParseQuestionId(const std::string& id) const {
  absl::string_view digits = id;
  int64_t number = 0;
  if (!absl::ConsumePrefix(&digits, absl::StrCat(prefix_, "-")) ||
      !absl::SimpleAtoi(digits, &number) || number < 1 ||
      number > last_question_ || QuestionId(number) != id) {
    return 0;
  }
  return number;
}

absl::Status WorkerPool::Give(const v1::HandleRequest::Verdict& verdict) {
  const int64_t number = ParseQuestionId(verdict.handler_error_id());
  if (number == 0) {
    return InvalidField("verdict.handler_error_id",
                        "no handler_error was sent with this id");
  }
  if (verdict.verdict() != v1::HANDLER_VERDICT_RETURN &&
      verdict.verdict() != v1::HANDLER_VERDICT_RAISE) {
    return InvalidField("verdict.verdict", "must be RETURN or RAISE");
  }
  const auto it = questions_.find(number);
  if (it != questions_.end()) {
    it->second.FillIfEmpty(verdict.verdict() == v1::HANDLER_VERDICT_RETURN);
  }
  return absl::OkStatus();
}

}  // namespace portreeve::server
