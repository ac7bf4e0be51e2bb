#include "server/live/live_query.h"

#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "portreeve/v1/event.pb.h"
#include "server/http/http_message.h"
#include "server/watch/snapshot.h"

namespace portreeve::server {
namespace {

using Query = std::vector<std::pair<std::string, std::string>>;

HttpRequest Asking(Query query) {
  HttpRequest request;
  request.path = "/events";
  request.query = std::move(query);
  return request;
}

TEST(EventQueryTest, WithoutAQueryItIsAllThatThereIs) {
  const auto query = EventQueryOf(Asking({{"other", "x"}}));
  ASSERT_TRUE(query.ok());
  EXPECT_EQ(query->filter, WatchFilter());
  EXPECT_EQ(query->snapshot, SnapshotOf::kListenersAndConnections);
  EXPECT_EQ(query->last_id, std::nullopt);
}

TEST(EventQueryTest, WhichEventsThereAre) {
  const auto query = EventQueryOf(Asking({{"listener", "web"},
                                          {"kind", "connection_closed"},
                                          {"listener", "api"},
                                          {"kind", "EVENT_KIND_GAP"}}));
  ASSERT_TRUE(query.ok());
  EXPECT_EQ(query->filter.listeners,
            (std::set<std::string>{"listeners/api", "listeners/web"}));
  EventKinds kinds;
  kinds.set(v1::EVENT_KIND_CONNECTION_CLOSED);
  kinds.set(v1::EVENT_KIND_GAP);
  EXPECT_EQ(query->filter.kinds, kinds);
}

TEST(EventQueryTest, WhatTheSnapshotIsOf) {
  const std::vector<std::pair<std::string, SnapshotOf>> names = {
      {"all", SnapshotOf::kListenersAndConnections},
      {"listeners", SnapshotOf::kListeners},
      {"none", SnapshotOf::kNothing}};
  for (const auto& [name, snapshot] : names) {
    const auto query = EventQueryOf(Asking({{"snapshot", name}}));
    ASSERT_TRUE(query.ok()) << name;
    EXPECT_EQ(query->snapshot, snapshot) << name;
  }
}

TEST(EventQueryTest, TheIdOfTheHeaderIsNewer) {
  const std::optional<std::string> none;
  const std::optional<std::string> empty = "";
  const std::optional<std::string> old = "me/3";
  const std::optional<std::string> newer = "me/7";
  for (const auto& in_header : {none, empty, newer}) {
    for (const auto& in_query : {none, empty, old}) {
      HttpRequest request = Asking({});
      if (in_query) request.query.emplace_back("last_event_id", *in_query);
      request.last_event_id = in_header;
      const auto query = EventQueryOf(request);
      ASSERT_TRUE(query.ok());
      EXPECT_EQ(query->last_id, in_header == newer ? newer : in_query);
    }
  }
}

TEST(EventQueryTest, WhatIsNoneIsRefused) {
  for (const auto& [key, value] : Query{{"listener", ""},
                                        {"listener", "web;evil"},
                                        {"kind", "nothing"},
                                        {"kind", "unspecified"},
                                        {"snapshot", ""},
                                        {"snapshot", "All"},
                                        {"snapshot", "connections"}}) {
    const auto query = EventQueryOf(Asking({{key, value}}));
    ASSERT_FALSE(query.ok()) << key << "=" << value;
    EXPECT_EQ(query.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(query.status().message().find(key), std::string::npos);
  }
}

}  // namespace
}  // namespace portreeve::server
