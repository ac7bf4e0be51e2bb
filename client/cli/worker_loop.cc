#include "client/cli/worker_loop.h"

#include "absl/strings/str_cat.h"
#include "client/error.h"

namespace portreeve::cli {

absl::Status WorkerLoop::Run(const Serve& serve) {
  while (true) {
    bool done = false;
    const absl::Status ended = RunOnce(serve, done);
    if (done) return absl::OkStatus();
    const std::string reason = client::DetailsOf(ended).reason;
    if (resume_.has_started() && reason == "LISTENER_CLOSED") {
      return absl::OkStatus();  // While nobody was there to be told.
    }
    if (!client::IsLost(ended) &&
        !(resume_.has_started() && reason == "NOT_FOUND")) {
      return ended;
    }
    const absl::Status waited = resume_.AwaitNext(ended);
    if (!waited.ok()) return waited;
  }
}

absl::Status WorkerLoop::RunOnce(const Serve& serve, bool& done) {
  auto worker = session_.client.Handle(start_, resume_.Call());
  if (!worker.ok()) return worker.status();
  SetWorker(&*worker);
  const std::string text =
      absl::StrCat("waiting for connections of ", start_.listener());
  if (!resume_.has_started()) notes_.Say(text);
  resume_.OnStart(text);
  const absl::Status ended = TakeOffers(*worker, serve, done);
  SetWorker(nullptr);
  return ended;
}

absl::Status WorkerLoop::TakeOffers(client::Worker& worker, const Serve& serve,
                                    bool& done) {
  while (true) {
    const auto next = worker.Next();
    if (!next.ok()) {
      absl::MutexLock lock(&mutex_);
      // That it was cancelled is no loss.
      return stopped_ ? absl::FailedPreconditionError("stopped")
                      : next.status();
    }
    if (!next->has_value()) {
      done = IsClosedForGood();
      return client::Unreachable("it shuts down");
    }
    const v1::HandleResponse& message = **next;
    if (message.has_offer()) {
      done = !serve(message.offer().connection());
      if (done) return absl::OkStatus();
    } else {
      // Nothing that is served here raises: it was a worker that has left.
      const auto& error = message.handler_error();
      notes_.Say(absl::StrCat(error.connection(), ": a handler raised: ",
                              error.message(), "; the answer is RAISE"));
      worker.Give(error.id(), v1::HANDLER_VERDICT_RAISE).IgnoreError();
    }
  }
}

bool WorkerLoop::IsClosedForGood() const {
  const auto listener =
      session_.client.GetListener(start_.listener(), session_.Ordinary());
  if (!listener.ok()) return !client::IsLost(listener.status());
  return listener->status().close_cause() != v1::CLOSE_CAUSE_SHUTDOWN;
}

void WorkerLoop::Stop() {
  resume_.Stop();
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
  if (worker_ != nullptr) worker_->Cancel();
}

void WorkerLoop::SetWorker(client::Worker* worker) {
  absl::MutexLock lock(&mutex_);
  worker_ = worker;
  if (stopped_ && worker_ != nullptr) worker_->Cancel();
}

}  // namespace portreeve::cli
