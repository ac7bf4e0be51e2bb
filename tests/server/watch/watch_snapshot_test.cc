// WatchEvents with initial_snapshot.
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "server/watch/snapshot.h"
#include "server/watch/watch_filter.h"
#include "tests/server/service_fixture.h"
#include "tests/server/watch_fixture.h"

namespace portreeve::testing {
namespace {

using google::protobuf::util::MessageDifferencer;

// "listener_created listeners/a" and so on.
std::vector<std::string> Shown(const std::vector<v1::Event>& events) {
  std::vector<std::string> shown;
  for (const auto& event : events) {
    std::string text = KindOf(event);
    if (event.has_listener_created()) {
      text += " " + event.listener_created().listener().name();
    } else if (event.has_connection_accepted()) {
      text += " of " + event.connection_accepted().connection().listener();
    }
    shown.push_back(text);
  }
  return shown;
}

using Texts = std::vector<std::string>;

class WatchSnapshotTest : public WatchFixture {
 protected:
  // A connection that the daemon has.
  std::unique_ptr<PlainClient> Connect(const v1::Listener& listener) {
    auto client = std::make_unique<PlainClient>(
        listener.status().listening_on().inet().port());
    client->Send("x");
    EXPECT_EQ(client->Receive(), "x");
    return client;
  }
  std::vector<v1::Event> Snapshot(const v1::WatchEventsRequest& request) {
    return Call(*this, request).ReadSnapshot();
  }
};

TEST_F(WatchSnapshotTest, OfNothing) {
  const auto events = Snapshot(WithSnapshot());
  ASSERT_EQ(Shown(events), Texts{"snapshot_done"});
  EXPECT_EQ(events[0].revision(), 0);
  EXPECT_EQ(events[0].instance_id(), instance_id());
  EXPECT_TRUE(events[0].has_time());
}

TEST_F(WatchSnapshotTest, HasEveryListenerAndLiveConnection) {
  Create("closed");
  Create("b");
  Create("deleted");
  const auto a = Create("a");
  const auto ended = Connect(a);
  const auto first = Connect(a);
  const auto second = Connect(a);
  ended->Close();
  WaitUntil([this] { return registry().connections().entries().size() == 2; });
  Close("closed");
  Close("deleted");
  Delete("deleted");

  const int64_t revision = last_revision();
  const auto events = Snapshot(WithSnapshot());
  EXPECT_EQ(
      Shown(events),
      (Texts{"listener_created listeners/a", "listener_created listeners/b",
             "listener_created listeners/closed",
             "connection_accepted of listeners/a",
             "connection_accepted of listeners/a", "snapshot_done"}));
  for (const auto& event : events) {
    EXPECT_EQ(event.revision(), revision);
    EXPECT_EQ(event.instance_id(), instance_id());
    EXPECT_TRUE(event.has_time());
  }
  EXPECT_EQ(events.at(2).listener_created().listener().status().state(),
            v1::LISTENER_STATE_CLOSED);
  EXPECT_EQ(last_revision(), revision);  // It is no news to others.
}

TEST_F(WatchSnapshotTest, ShowsWhatTheListsShow) {
  const auto client = Connect(Create("a"));
  const auto events = Snapshot(WithSnapshot());
  ASSERT_EQ(events.size(), 3u);
  const auto listener =
      OnLoop([this] { return registry().Get("a")->message(); });
  EXPECT_TRUE(MessageDifferencer::Equals(
      events[0].listener_created().listener(), listener));
  const auto connections =
      OnLoop([this] { return registry().ListConnections("a", {}); })->message();
  ASSERT_EQ(connections.connections_size(), 1);
  EXPECT_TRUE(
      MessageDifferencer::Equals(events[1].connection_accepted().connection(),
                                 connections.connections(0)));
  EXPECT_EQ(connections.connections(0).bytes_received(), 1);
}

TEST_F(WatchSnapshotTest, PassesTheFilters) {
  const auto a = Create("a");
  const auto b = Create("b");
  const auto to_a = Connect(a);
  const auto to_b = Connect(b);

  v1::WatchEventsRequest of_b = WithSnapshot();
  of_b.add_listeners("listeners/b");
  of_b.add_listeners("listeners/unknown");
  EXPECT_EQ(Shown(Snapshot(of_b)),
            (Texts{"listener_created listeners/b",
                   "connection_accepted of listeners/b", "snapshot_done"}));

  v1::WatchEventsRequest connections = WithSnapshot();
  connections.add_kinds(v1::EVENT_KIND_CONNECTION_ACCEPTED);
  EXPECT_EQ(Shown(Snapshot(connections)),
            (Texts{"connection_accepted of listeners/a",
                   "connection_accepted of listeners/b", "snapshot_done"}));

  v1::WatchEventsRequest other = WithSnapshot();
  other.add_kinds(v1::EVENT_KIND_LIMIT_REACHED);
  EXPECT_EQ(Shown(Snapshot(other)), Texts{"snapshot_done"});
}

TEST_F(WatchSnapshotTest, IsOfWhatIsAskedFor) {
  const auto to_a = Connect(Create("a"));
  Create("b");
  const auto take = [this](const server::WatchFilter& filter,
                           server::SnapshotOf what) {
    v1::WatchEventsResponse response;
    OnLoop([&] {
      server::Snapshot snapshot(registry(), log(), filter, what);
      while (!snapshot.Step()) {
      }
      while (!snapshot.empty()) {
        EXPECT_TRUE(response.MergeFromString(snapshot.TakeMessage()));
      }
    });
    for (const v1::Event& event : response.events()) {
      EXPECT_EQ(event.revision(), last_revision());
    }
    return Shown({response.events().begin(), response.events().end()});
  };
  using server::SnapshotOf;
  EXPECT_EQ(
      take({}, SnapshotOf::kListenersAndConnections),
      (Texts{"listener_created listeners/a", "listener_created listeners/b",
             "connection_accepted of listeners/a", "snapshot_done"}));
  EXPECT_EQ(take({}, SnapshotOf::kListeners),
            (Texts{"listener_created listeners/a",
                   "listener_created listeners/b", "snapshot_done"}));
  EXPECT_EQ(
      take({.listeners = {"listeners/b"}, .kinds = {}}, SnapshotOf::kListeners),
      (Texts{"listener_created listeners/b", "snapshot_done"}));
  EXPECT_EQ(take({}, SnapshotOf::kNothing), Texts{"snapshot_done"});
}

TEST_F(WatchSnapshotTest, NewsFollowIt) {
  Create("a");
  Call watch(*this, WithSnapshot());
  EXPECT_EQ(watch.ReadSnapshot().size(), 2u);
  const int64_t revision = last_revision();
  Create("b");
  const auto news = watch.ReadMessage();
  EXPECT_EQ(Shown(news), Texts{"listener_created listeners/b"});
  EXPECT_EQ(news.at(0).revision(), revision + 1);
}

TEST_F(WatchSnapshotTest, EndsAfterIt) {
  for (int i = 0; i < 100; ++i) Create("l" + std::to_string(i), 3900);
  Call watch(*this, WithSnapshot());
  EndWatches();
  EXPECT_EQ(watch.ReadSnapshot().size(), 101u);
  EXPECT_EQ(watch.ReadMessage().size(), 0u);
  EXPECT_EQ(portreeve::testing::Shown(watch.Finish()), "OK");
}

TEST_F(WatchSnapshotTest, ALargeOneComesInMessagesOf256KiB) {
  for (int i = 0; i < 100; ++i) Create("l" + std::to_string(i), 3900);
  const int64_t revision = last_revision();
  Call watch(*this, WithSnapshot());
  std::vector<v1::Event> events;
  int num_messages = 0;
  do {
    const auto message = watch.ReadMessage();
    ASSERT_FALSE(message.empty());
    ++num_messages;
    v1::WatchEventsResponse response;
    for (const auto& event : message) *response.add_events() = event;
    EXPECT_LE(response.ByteSizeLong(), size_t{256 * 1024});
    events.insert(events.end(), message.begin(), message.end());
  } while (!events.back().has_snapshot_done());
  EXPECT_EQ(num_messages, 2);
  EXPECT_EQ(events.size(), 101u);
  for (const auto& event : events) EXPECT_EQ(event.revision(), revision);
}

// The snapshot is that of its revision even if it is read when that is no
// longer kept; what is missing after it is said.
TEST_F(WatchSnapshotTest, IsCompleteWhereTheLogOvertakesIt) {
  for (int i = 0; i < 100; ++i) Create("l" + std::to_string(i), 3900);
  const int64_t revision = last_revision();
  Call watch(*this, WithSnapshot());
  WaitUntil([this] { return log().num_subscribers() == 0; });
  for (int i = 0; i < 100; ++i) Close("l" + std::to_string(i));
  Append(3 * kCapacity);
  const int64_t last = last_revision();

  const auto snapshot = watch.ReadSnapshot();
  ASSERT_EQ(snapshot.size(), 101u);
  for (const auto& event : snapshot) {
    EXPECT_EQ(event.revision(), revision);
    if (event.has_snapshot_done()) continue;
    EXPECT_EQ(event.listener_created().listener().status().state(),
              v1::LISTENER_STATE_LISTENING);
  }
  const auto news = watch.ReadUntil(last);
  EXPECT_EQ(CheckComplete(news, revision + 1, last),
            last - revision - kCapacity);
  EXPECT_TRUE(news.at(0).has_gap());
}

// What is remembered and what lives, by the events.
struct State {
  std::set<std::string> listeners;
  std::set<std::string> connections;

  void Apply(const v1::Event& event) {
    if (event.has_listener_created()) {
      Add(listeners, event.listener_created().listener().name());
    } else if (event.has_listener_deleted()) {
      Remove(listeners, event.listener_deleted().listener().name());
    } else if (event.has_connection_accepted()) {
      Add(connections, event.connection_accepted().connection().name());
    } else if (event.has_connection_closed()) {
      Remove(connections, event.connection_closed().connection().name());
    }
  }
  bool operator==(const State& other) const {
    return listeners == other.listeners && connections == other.connections;
  }

 private:
  static void Add(std::set<std::string>& names, const std::string& name) {
    EXPECT_TRUE(names.insert(name).second) << name;
  }
  static void Remove(std::set<std::string>& names, const std::string& name) {
    EXPECT_EQ(names.erase(name), 1u) << name;
  }
};

// Snapshots while listeners and connections come and go: each is the state of
// its revision, and what follows leads to the end.
TEST_F(WatchSnapshotTest, IsTheStateOfItsRevision) {
  Call record(*this, From(1));
  std::thread changes([this] {
    std::vector<std::unique_ptr<PlainClient>> clients;
    for (int i = 0; i < 50; ++i) {
      const std::string id = "l" + std::to_string(i);
      const auto listener = Create(id);
      for (int j = 0; j < 4; ++j) clients.push_back(Connect(listener));
      clients.erase(clients.begin(), clients.begin() + i % 4);
      if (i % 4 != 2) continue;
      Create("gone");
      Close("gone");
      Delete("gone");
    }
  });
  constexpr int kWatches = 20;
  std::vector<std::unique_ptr<Call>> watches;
  std::vector<std::vector<v1::Event>> snapshots;
  for (int i = 0; i < kWatches; ++i) {
    watches.push_back(std::make_unique<Call>(*this, WithSnapshot()));
    snapshots.push_back(watches.back()->ReadSnapshot());
  }
  changes.join();
  Create("end");
  const int64_t end = last_revision();

  std::map<int64_t, State> states;
  State state;
  states[0] = state;
  const auto all = record.ReadUntil(end);
  EXPECT_EQ(CheckComplete(all, 1, all.back().revision()), 0);
  for (const auto& event : all) {
    state.Apply(event);
    states[event.revision()] = state;
  }
  for (int i = 0; i < kWatches; ++i) {
    State seen;
    for (const auto& event : snapshots[i]) seen.Apply(event);
    const int64_t revision = snapshots[i].back().revision();
    EXPECT_TRUE(seen == states.at(revision)) << revision;
    if (revision == end) continue;
    const auto news = watches[i]->ReadUntil(end);
    EXPECT_EQ(CheckComplete(news, revision + 1, news.back().revision()), 0);
    for (const auto& event : news) seen.Apply(event);
    EXPECT_TRUE(seen == states.at(news.back().revision())) << revision;
  }
}

// Each is of more than a MiB.
TEST_F(WatchSnapshotTest, WhatNobodyReadsIsRefusedBeyondSixteenMebibytes) {
  constexpr int kListeners = 280;
  for (int i = 0; i < kListeners; ++i) Create("l" + std::to_string(i), 4000);
  const auto channel = AnotherConnection();
  {
    std::vector<std::unique_ptr<Call>> calls;
    for (int i = 0; i < 17; ++i) {
      calls.push_back(std::make_unique<Call>(channel, WithSnapshot()));
    }
    EXPECT_EQ(testing::Shown(calls.back()->Finish()), "8 / OVERLOADED");
    // Others get theirs, and events cost nobody a place.
    EXPECT_EQ(Snapshot(WithSnapshot()).size(), kListeners + 1u);
    Call events(channel, {});
    Append(1);
    EXPECT_EQ(events.ReadMessage().size(), 1u);
    for (const auto& call : calls) call->Cancel();
  }
  // Whoever reads may have as many as he likes, one after the other.
  int num_read = 0;
  while (num_read < 20) {
    Call call(channel, WithSnapshot());
    const size_t size = call.ReadSnapshot().size();
    // Those that were given up go one by one.
    if (num_read == 0 && size == 0) continue;
    ASSERT_EQ(size, kListeners + 1u);
    ++num_read;
  }
}

TEST_F(WatchSnapshotTest, SoManyNamesAndNoMore) {
  v1::WatchEventsRequest request = WithSnapshot();
  for (int i = 0; i < 1000; ++i) {
    request.add_listeners("listeners/l" + std::to_string(i));
  }
  EXPECT_EQ(Snapshot(request).size(), 1u);
  request.add_listeners("listeners/a");
  EXPECT_EQ(testing::Shown(Call(*this, request).Finish()),
            "3 / INVALID_FIELD / listeners");
}

}  // namespace
}  // namespace portreeve::testing
