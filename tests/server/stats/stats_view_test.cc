#include "server/stats/stats_view.h"

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "portreeve/v1/stats.pb.h"

namespace portreeve::server {
namespace {

// What there is, by name: the total by which the test tells values apart.
using World = std::map<std::string, int64_t>;

std::string Encoded(const std::string& name, int64_t total) {
  v1::ListenerStats stats;
  stats.set_name(name);
  stats.set_closed_total(total);
  return stats.SerializeAsString();
}

void Look(StatsView& view, const World& world) {
  for (const auto& [name, total] : world) view.Put(name, Encoded(name, total));
  view.End();
}

std::vector<v1::WatchStatsResponse> MessagesSince(
    const StatsView& view, int64_t since, const std::set<std::string>& names,
    size_t most = 1 << 20) {
  std::deque<std::string> encoded(1);
  view.AppendChanges(since, names, most, encoded);
  std::vector<v1::WatchStatsResponse> messages;
  for (const std::string& bytes : encoded) {
    EXPECT_TRUE(messages.emplace_back().ParseFromString(bytes));
  }
  return messages;
}

// Brings what somebody knows up to date, and checks that nothing is said twice
// or in vain: a name that is deleted was known, and none is told two times.
void Tell(const StatsView& view, int64_t since,
          const std::set<std::string>& names, World& known) {
  std::set<std::string> told;
  for (const auto& message : MessagesSince(view, since, names)) {
    for (const auto& listener : message.listeners()) {
      EXPECT_TRUE(told.insert(listener.name()).second);
      known[listener.name()] = listener.closed_total();
    }
    for (const std::string& name : message.deleted()) {
      EXPECT_TRUE(told.insert(name).second);
      EXPECT_EQ(known.erase(name), 1u) << name;
    }
  }
}

World Only(const World& world, const std::set<std::string>& names) {
  World only;
  for (const auto& [name, total] : world) {
    if (names.empty() || names.count(name) > 0) only[name] = total;
  }
  return only;
}

// Each look finds one of these.
const std::array<World, 6> kWorlds = {
    World{},         World{{"a", 1}},           World{{"a", 2}},
    World{{"b", 1}}, World{{"a", 1}, {"b", 1}}, World{{"a", 2}, {"b", 1}}};

// All that two watchers may see of `looks`: one who is told of each, and one
// who is told of look `since` and then of the last.
void Explore(const std::vector<int>& looks, size_t since,
             const std::set<std::string>& names) {
  StatsView view;
  World eager;
  World lazy;
  int64_t lazy_told = 0;
  for (size_t i = 0; i < looks.size(); ++i) {
    const World& world = kWorlds[static_cast<size_t>(looks[i])];
    Look(view, world);
    const auto look = static_cast<int64_t>(i + 1);
    ASSERT_EQ(view.last(), look);
    view.Prune({look - 1, lazy_told});
    Tell(view, look - 1, {}, eager);
    ASSERT_EQ(eager, world);
    if (i + 1 == since || i + 1 == looks.size()) {
      Tell(view, lazy_told, names, lazy);
      ASSERT_EQ(lazy, Only(world, names));
      lazy_told = look;
    }
    view.Prune({look, lazy_told});
    // What was deleted is kept only while somebody knows of it.
    ASSERT_LE(view.num_deleted(), 2u);
    if (lazy_told == look) ASSERT_EQ(view.num_deleted(), 0u);
  }
}

TEST(StatsViewTest, WhoeverWasToldOfAnyLookIsBroughtUpToDate) {
  constexpr size_t kLooks = 4;
  std::vector<int> looks(kLooks);
  for (int number = 0; number < 6 * 6 * 6 * 6; ++number) {
    for (size_t i = 0, rest = static_cast<size_t>(number); i < kLooks;
         ++i, rest /= 6) {
      looks[i] = static_cast<int>(rest % 6);
    }
    for (size_t since = 0; since < kLooks; ++since) {
      for (const std::set<std::string>& names :
           {std::set<std::string>{}, std::set<std::string>{"a"}}) {
        Explore(looks, since, names);
        if (HasFatalFailure()) {
          std::string text;
          for (int look : looks) text += std::to_string(look);
          FAIL() << "looks " << text << ", since " << since << ", "
                 << names.size() << " names";
        }
      }
    }
  }
}

TEST(StatsViewTest, WhatIsAsBeforeIsNotTold) {
  StatsView view;
  Look(view, {{"a", 1}, {"b", 1}});
  Look(view, {{"a", 1}, {"b", 2}});
  const auto messages = MessagesSince(view, 1, {});
  ASSERT_EQ(messages.size(), 1u);
  ASSERT_EQ(messages[0].listeners_size(), 1);
  EXPECT_EQ(messages[0].listeners(0).name(), "b");
  EXPECT_EQ(messages[0].deleted_size(), 0);
}

TEST(StatsViewTest, ThoseThatComeAndGoBetweenTwoLooksOfAWatcherAreForgotten) {
  StatsView view;
  Look(view, {{"a", 1}});
  for (int i = 0; i < 100; ++i) {
    Look(view, {{"a", 1}, {"b" + std::to_string(i), 1}});
    view.Prune({1});
  }
  EXPECT_EQ(view.num_deleted(), 0u);
  Look(view, {});
  view.Prune({1});
  EXPECT_EQ(view.num_deleted(), 1u);
}

TEST(StatsViewTest, MessagesAreNotLargerThanTheyMay) {
  StatsView view;
  World world;
  for (int i = 0; i < 100; ++i) world["l" + std::to_string(i)] = i;
  Look(view, world);
  constexpr size_t kMost = 64;
  std::deque<std::string> encoded(1);
  view.AppendChanges(0, {}, kMost, encoded);
  EXPECT_GT(encoded.size(), 10u);
  for (const std::string& message : encoded) {
    EXPECT_FALSE(message.empty());
    EXPECT_LE(message.size(), kMost);
  }
  World known;
  for (const auto& message : MessagesSince(view, 0, {}, kMost)) {
    for (const auto& listener : message.listeners()) {
      known[listener.name()] = listener.closed_total();
    }
  }
  EXPECT_EQ(known, world);
}

TEST(StatsViewTest, ALargeListenerHasAMessageForItself) {
  StatsView view;
  Look(view, {{"a", 1}, {std::string(100, 'b'), 1}, {"c", 1}});
  EXPECT_EQ(MessagesSince(view, 0, {}, 50).size(), 3u);
}

TEST(StatsViewTest, LooksAreNumberedOnWhenAllIsForgotten) {
  StatsView view;
  Look(view, {{"a", 1}});
  view.Clear();
  EXPECT_EQ(view.size(), 0u);
  Look(view, {{"a", 1}});
  EXPECT_EQ(view.last(), 2);
  EXPECT_EQ(MessagesSince(view, 0, {})[0].listeners_size(), 1);
}

}  // namespace
}  // namespace portreeve::server
