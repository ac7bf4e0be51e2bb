#include "client/cli/worker_loop.h"

#include "absl/strings/str_cat.h"
#include "client/error.h"

namespace portreeve::cli {

absl::Status WorkerLoop::Run(const Serve& serve) {
  while (true) {
    bool done = false;
    const absl::Status ended = RunOnce(serve, done);
    if (done) return absl::OkStatus();
    // That it was cancelled is no loss.
    if (canceller_.is_cancelled()) return absl::CancelledError("stopped");
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
  client::CallOptions call = resume_.Call();
  call.canceller = &canceller_;
  auto worker = session_.client.Handle(start_, call);
  if (!worker.ok()) return worker.status();
  const std::string text =
      absl::StrCat("waiting for connections of ", start_.listener());
  if (!resume_.has_started()) notes_.Say(text);
  resume_.OnStart(text);
  return TakeOffers(*worker, serve, done);
}

absl::Status WorkerLoop::TakeOffers(client::Worker& worker, const Serve& serve,
                                    bool& done) {
  while (true) {
    const auto next = worker.Next();
    if (!next.ok()) return next.status();
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
  canceller_.Cancel();
  resume_.Stop();
}

}  // namespace portreeve::cli
