#include "client/cli/stats_feed.h"

#include <optional>

#include "client/error.h"

namespace portreeve::cli {

absl::StatusOr<ExitStatus> StatsFeed::Run(const Callbacks& callbacks) {
  while (true) {
    client::CallOptions call = resume_.Call();
    call.canceller = &canceller_;
    auto watch = session_.client.WatchStats(request_, call);
    absl::Status ended = watch.status();
    if (watch.ok()) {
      resume_.OnStart("the statistics go on");
      callbacks.on_start();
      ended = ReadAll(*watch, callbacks).status();
      if (ended.ok()) return ExitStatus::kDone;
    }
    if (canceller_.is_cancelled()) return ExitStatus::kDone;
    if (!resume_.has_started()) return ended;
    if (resume_.IsTimeout(ended)) return ExitStatus::kTimedOut;
    if (!client::IsLost(ended)) return ended;
    callbacks.on_lost(ended);
    ended = resume_.AwaitNext(ended);
    if (resume_.IsTimeout(ended)) return ExitStatus::kTimedOut;
    if (absl::IsCancelled(ended)) return ExitStatus::kDone;
    if (!ended.ok()) return ended;
  }
}

// Gives OK only where no more is wanted.
absl::StatusOr<bool> StatsFeed::ReadAll(client::StatsWatch& watch,
                                        const Callbacks& callbacks) {
  while (true) {
    const absl::StatusOr<std::optional<v1::WatchStatsResponse>> message =
        watch.Next();
    if (!message.ok()) return message.status();
    if (!message->has_value()) return client::Unreachable("it shuts down");
    const absl::StatusOr<bool> wants_more = callbacks.on_message(**message);
    if (!wants_more.ok() || !*wants_more) return wants_more;
  }
}

void StatsFeed::Stop() {
  canceller_.Cancel();
  resume_.Stop();
}

}  // namespace portreeve::cli
