#include "server/live/live_query.h"

#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "server/api/names.h"
#include "server/api/utf8.h"

namespace portreeve::server {
namespace {

constexpr char kListener[] = "listener";
constexpr char kKind[] = "kind";
constexpr char kSnapshot[] = "snapshot";
constexpr char kLastEventId[] = "last_event_id";
constexpr char kPageSize[] = "page_size";
constexpr char kPageToken[] = "page_token";
constexpr char kKindPrefix[] = "EVENT_KIND_";

absl::StatusOr<std::string> NameOfListener(const std::string& id) {
  if (!IsListenerId(id)) {
    return InvalidField(kListener, "must be the id of a listener, like web-1");
  }
  return ListenerName(id);
}

absl::StatusOr<v1::EventKind> KindOf(const std::string& text) {
  std::string name = absl::AsciiStrToUpper(text);
  if (!absl::StartsWith(name, kKindPrefix)) {
    name = absl::StrCat(kKindPrefix, name);
  }
  v1::EventKind kind;
  if (!v1::EventKind_Parse(name, &kind) || kind == v1::EVENT_KIND_UNSPECIFIED) {
    return InvalidField(kKind,
                        "must be a kind of event, like connection_closed or "
                        "listener_created");
  }
  return kind;
}

absl::StatusOr<SnapshotOf> SnapshotNamed(const std::string& name) {
  if (name == "all") return SnapshotOf::kListenersAndConnections;
  if (name == "listeners") return SnapshotOf::kListeners;
  if (name == "none") return SnapshotOf::kNothing;
  return InvalidField(kSnapshot, "must be all, listeners or none");
}

// Sets what pages of both lists have.
template <typename Request>
absl::Status SetPage(const HttpRequest& request, Request& page) {
  for (const auto& [key, value] : request.query) {
    if (key == kPageSize) {
      int32_t size = 0;
      if (!absl::SimpleAtoi(value, &size)) {
        return InvalidField(kPageSize, "must be a number, like 100");
      }
      page.set_page_size(size);
    } else if (key == kPageToken) {
      page.set_page_token(value);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::set<std::string>> ListenersOf(const HttpRequest& request) {
  std::set<std::string> names;
  for (const auto& [key, value] : request.query) {
    if (key != kListener) continue;
    auto name = NameOfListener(value);
    if (!name.ok()) return name.status();
    names.insert(*std::move(name));
  }
  return names;
}

absl::StatusOr<EventQuery> EventQueryOf(const HttpRequest& request) {
  EventQuery query;
  auto listeners = ListenersOf(request);
  if (!listeners.ok()) return listeners.status();
  query.filter.listeners = *std::move(listeners);
  for (const auto& [key, value] : request.query) {
    if (key == kKind) {
      const auto kind = KindOf(value);
      if (!kind.ok()) return kind.status();
      query.filter.kinds.set(static_cast<size_t>(*kind));
    } else if (key == kSnapshot) {
      const auto snapshot = SnapshotNamed(value);
      if (!snapshot.ok()) return snapshot.status();
      query.snapshot = *snapshot;
    } else if (key == kLastEventId) {
      query.last_id = value;
    }
  }
  // A browser without an id may send an empty one.
  if (request.last_event_id && !request.last_event_id->empty()) {
    query.last_id = request.last_event_id;
  }
  return query;
}

absl::StatusOr<v1::ListListenersRequest> ListenerPageOf(
    const HttpRequest& request) {
  v1::ListListenersRequest page;
  if (auto s = SetPage(request, page); !s.ok()) return s;
  return page;
}

absl::StatusOr<v1::ListConnectionsRequest> ConnectionPageOf(
    const HttpRequest& request) {
  v1::ListConnectionsRequest page;
  if (auto s = SetPage(request, page); !s.ok()) return s;
  const auto listeners = ListenersOf(request);
  if (!listeners.ok()) return listeners.status();
  if (listeners->size() > 1) {
    return InvalidField(kListener, "one at most: a list is of one, or of all");
  }
  if (!listeners->empty()) page.set_listener(*listeners->begin());
  return page;
}

}  // namespace portreeve::server
