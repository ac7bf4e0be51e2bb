#include "client/cli/newest_events.h"

#include <deque>
#include <functional>
#include <utility>

#include "client/error.h"
#include "client/watch.h"

namespace portreeve::cli {
namespace {

// Gives the newest that `request` asks for and `is_wanted`.
absl::StatusOr<std::vector<v1::Event>> Newest(
    v1::WatchEventsRequest request,
    const std::function<bool(const v1::Event&)>& is_wanted, Session& session) {
  request.set_start_revision(1);
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
      if (!is_wanted(event)) continue;
      newest.push_back(std::move(event));
      if (newest.size() > kNewestEvents) newest.pop_front();
    }
  }
}

// A gap may have been about anything.
bool IsAbout(const v1::Event& event, const std::string& connection) {
  switch (event.kind_case()) {
    case v1::Event::kConnectionAccepted:
      return event.connection_accepted().connection().name() == connection;
    case v1::Event::kConnectionClosed:
      return event.connection_closed().connection().name() == connection;
    case v1::Event::kHandlerError:
      return event.handler_error().connection() == connection;
    default:
      return event.has_gap();
  }
}

}  // namespace

absl::StatusOr<std::vector<v1::Event>> NewestEvents(const std::string& name,
                                                    Session& session) {
  v1::WatchEventsRequest request;
  request.add_listeners(name);
  return Newest(
      std::move(request), [](const v1::Event&) { return true; }, session);
}

absl::StatusOr<std::vector<v1::Event>> NewestEvents(
    const v1::Connection& connection, Session& session) {
  v1::WatchEventsRequest request;
  if (!connection.listener().empty()) {
    request.add_listeners(connection.listener());
  }
  request.add_kinds(v1::EVENT_KIND_CONNECTION_ACCEPTED);
  request.add_kinds(v1::EVENT_KIND_CONNECTION_CLOSED);
  request.add_kinds(v1::EVENT_KIND_HANDLER_ERROR);
  return Newest(
      std::move(request),
      [&connection](const v1::Event& event) {
        return IsAbout(event, connection.name());
      },
      session);
}

}  // namespace portreeve::cli
