#include "server/events/lost_events.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace portreeve::server {
namespace {

using Event = std::pair<v1::EventKind, std::string>;

// What may happen: of two kinds, about two listeners and about none.
const std::array<Event, 6>& All() {
  static const auto* const kAll = new std::array<Event, 6>{{
      {v1::EVENT_KIND_LISTENER_CREATED, "listeners/a"},
      {v1::EVENT_KIND_LISTENER_CREATED, "listeners/b"},
      {v1::EVENT_KIND_LISTENER_CREATED, ""},
      {v1::EVENT_KIND_CONNECTION_CLOSED, "listeners/a"},
      {v1::EVENT_KIND_CONNECTION_CLOSED, "listeners/b"},
      {v1::EVENT_KIND_CONNECTION_CLOSED, ""},
  }};
  return *kAll;
}

struct Filter {
  std::set<std::string> listeners;
  EventKinds kinds;
};

std::vector<Filter> Filters() {
  std::vector<Filter> filters;
  for (const std::set<std::string>& listeners :
       std::vector<std::set<std::string>>{{},
                                          {"listeners/a"},
                                          {"listeners/b"},
                                          {"listeners/c"},
                                          {"listeners/a", "listeners/b"}}) {
    filters.push_back({listeners, {}});
    for (const v1::EventKind kind :
         {v1::EVENT_KIND_LISTENER_CREATED, v1::EVENT_KIND_CONNECTION_CLOSED}) {
      filters.push_back({listeners, {}});
      filters.back().kinds.set(static_cast<size_t>(kind));
    }
  }
  return filters;
}

bool HasOne(const std::vector<Event>& lost, size_t first,
            const Filter& filter) {
  for (size_t i = first - 1; i < lost.size(); ++i) {
    const auto& [kind, listener] = lost[i];
    if ((filter.kinds.none() || filter.kinds.test(static_cast<size_t>(kind))) &&
        (filter.listeners.empty() || filter.listeners.count(listener) > 0)) {
      return true;
    }
  }
  return false;
}

void ExpectRight(const std::vector<Event>& lost, size_t max_listeners) {
  LostEvents events(max_listeners);
  for (size_t i = 0; i < lost.size(); ++i) {
    events.Add(static_cast<int64_t>(i) + 1, lost[i].first, lost[i].second);
  }
  for (const Filter& filter : Filters()) {
    for (size_t first = 1; first <= lost.size() + 1; ++first) {
      const bool expected = HasOne(lost, first, filter);
      const bool has = events.Has(static_cast<int64_t>(first), filter.listeners,
                                  filter.kinds);
      if (max_listeners >= 2) {
        ASSERT_EQ(has, expected);
      } else {
        ASSERT_TRUE(has || !expected);
      }
    }
  }
}

void ForEverySequence(size_t length, std::vector<Event>& lost,
                      size_t max_listeners) {
  ExpectRight(lost, max_listeners);
  if (length == 0) return;
  for (const Event& event : All()) {
    lost.push_back(event);
    ForEverySequence(length - 1, lost, max_listeners);
    lost.pop_back();
  }
}

TEST(LostEventsTest, KnowsWhetherOneThatPassesIsLost) {
  std::vector<Event> lost;
  ForEverySequence(4, lost, 2);
}

TEST(LostEventsTest, NeverDeniesOneWhereItHasForgottenTheListener) {
  std::vector<Event> lost;
  ForEverySequence(4, lost, 1);
}

TEST(LostEventsTest, ForgetsThoseThatHaveBeenSilentForLongest) {
  LostEvents events(2);
  const auto has = [&](int64_t first, const std::string& listener) {
    return events.Has(first, {"listeners/" + listener}, {});
  };
  events.Add(1, v1::EVENT_KIND_LISTENER_CREATED, "listeners/a");
  events.Add(2, v1::EVENT_KIND_LISTENER_CREATED, "listeners/b");
  events.Add(3, v1::EVENT_KIND_LISTENER_CREATED, "listeners/a");
  EXPECT_FALSE(has(1, "c"));
  events.Add(4, v1::EVENT_KIND_LISTENER_CREATED, "listeners/c");
  // b is forgotten, whose last one was 2.
  EXPECT_TRUE(has(2, "d"));
  EXPECT_FALSE(has(3, "b"));
  EXPECT_TRUE(has(3, "a"));
  EXPECT_FALSE(has(4, "a"));
}

}  // namespace
}  // namespace portreeve::server
