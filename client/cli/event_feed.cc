#include "client/cli/event_feed.h"

#include <string>
#include <vector>

#include "client/error.h"

namespace portreeve::cli {
namespace {

bool IsAnotherDaemon(const absl::Status& status) {
  const std::string reason = client::DetailsOf(status).reason;
  return reason == "INSTANCE_CHANGED" || reason == "REVISION_UNKNOWN";
}

}  // namespace

absl::Status EventFeed::ReadAll(client::Watch& watch,
                                const Callbacks& callbacks) {
  while (true) {
    const absl::StatusOr<std::vector<v1::Event>> events = watch.Next();
    if (!events.ok()) return events.status();
    if (events->empty()) return client::Unreachable("it shuts down");
    for (const v1::Event& event : *events) {
      const absl::StatusOr<Next> next = callbacks.on_event(event);
      if (!next.ok()) return next.status();
      if (*next == Next::kStartAnew) return absl::OkStatus();
      position_.Take(event);
    }
  }
}

absl::StatusOr<ExitStatus> EventFeed::Run(const Callbacks& callbacks) {
  Start start;
  start.is_new_daemon = true;
  while (true) {
    auto watch =
        session_.client.WatchEvents(position_.request(), resume_.Call());
    absl::Status ended = watch.status();
    if (watch.ok()) {
      start.has_snapshot = position_.request().initial_snapshot();
      callbacks.on_start(start);
      start.is_new_daemon = false;
      ended = ReadAll(*watch, callbacks);
      if (ended.ok()) {
        position_.StartAnew();
        continue;
      }
    }
    if (!resume_.has_started()) return ended;
    if (resume_.IsTimeout(ended)) return ExitStatus::kTimedOut;
    if (IsAnotherDaemon(ended) && !is_bound_) {
      notes_.Say("the daemon was started anew: revisions begin at 1 again");
      position_.StartAnew();
      start.is_new_daemon = true;
      continue;
    }
    if (!client::IsLost(ended)) return ended;
    ended = resume_.AwaitNext(ended);
    if (resume_.IsTimeout(ended)) return ExitStatus::kTimedOut;
    if (!ended.ok()) return ended;
  }
}

}  // namespace portreeve::cli
