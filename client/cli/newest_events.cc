#include "client/cli/newest_events.h"

#include <deque>
#include <utility>

#include "client/error.h"
#include "client/watch.h"

namespace portreeve::cli {

absl::StatusOr<std::vector<v1::Event>> NewestEvents(const std::string& name,
                                                    Session& session) {
  v1::WatchEventsRequest request;
  request.set_start_revision(1);
  request.add_listeners(name);
  // So the daemon says when the watch has all that there is.
  request.mutable_progress_interval()->set_seconds(1);
  auto watch = session.client.WatchEvents(request, session.Ordinary());
  if (!watch.ok()) return watch.status();
  std::deque<v1::Event> newest;
  while (true) {
    absl::StatusOr<std::vector<v1::Event>> events = watch->Next();
    if (!events.ok()) return events.status();
    if (events->empty()) return client::Unreachable("it shuts down");
    for (v1::Event& event : *events) {
      if (event.has_progress())
        return std::vector(newest.begin(), newest.end());
      newest.push_back(std::move(event));
      if (newest.size() > kNewestEvents) newest.pop_front();
    }
  }
}

}  // namespace portreeve::cli
