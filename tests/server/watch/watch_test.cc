// WatchEvents over a real channel: what a watcher gets, and how it ends.
#include <gtest/gtest.h>

#include <string>

#include "tests/server/service_fixture.h"
#include "tests/server/watch_fixture.h"

namespace portreeve::testing {
namespace {

class WatchTest : public WatchFixture {};

TEST_F(WatchTest, GetsWhatFollowsAndNothingBefore) {
  Append(2);
  Call watch(*this, {});
  Append(1);
  const auto events = watch.ReadMessage();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].revision(), 3);
  EXPECT_EQ(events[0].instance_id(), instance_id());
  EXPECT_TRUE(events[0].has_time());
}

TEST_F(WatchTest, ABurstTravelsTogether) {
  Call watch(*this, {});
  Append(500);
  const auto events = watch.ReadMessage();
  ASSERT_EQ(events.size(), 500u);
  EXPECT_EQ(CheckComplete(events, 1, 500), 0);
}

// There is no second event that could push the first.
TEST_F(WatchTest, ALoneEventComesWithoutAnother) {
  Call watch(*this, {});
  for (int i = 1; i <= 20; ++i) {
    Append(1);
    EXPECT_EQ(CheckComplete(watch.ReadMessage(), i, i), 0);
  }
}

TEST_F(WatchTest, FiltersByListenerAndKind) {
  v1::WatchEventsRequest by_listener;
  by_listener.add_listeners("listeners/b");
  by_listener.add_listeners("listeners/c");
  v1::WatchEventsRequest by_kind;
  by_kind.add_kinds(v1::EVENT_KIND_CONNECTION_CLOSED);
  v1::WatchEventsRequest by_both = by_listener;
  by_both.add_kinds(v1::EVENT_KIND_CONNECTION_CLOSED);
  Call watch_listener(*this, by_listener);
  Call watch_kind(*this, by_kind);
  Call watch_both(*this, by_both);
  const auto append_closed = [this](const std::string& listener) {
    v1::Event event;
    event.mutable_connection_closed();
    OnLoop([&] { log().Append(event, listener); });
  };
  Append(1, "listeners/a");  // 1
  Append(1, "listeners/b");  // 2
  append_closed("");         // 3: dialled.
  append_closed("listeners/c");
  EndWatches();
  const auto revisions = [](const std::vector<v1::Event>& events) {
    std::vector<int64_t> revisions;
    for (const auto& event : events) revisions.push_back(event.revision());
    return revisions;
  };
  using Revisions = std::vector<int64_t>;
  EXPECT_EQ(revisions(watch_listener.ReadUntil(4)), (Revisions{2, 4}));
  EXPECT_EQ(revisions(watch_kind.ReadUntil(4)), (Revisions{3, 4}));
  EXPECT_EQ(revisions(watch_both.ReadUntil(4)), (Revisions{4}));
}

// Some share what they are sent, the others do not; each gets its own.
TEST_F(WatchTest, ManyWatchAtOnce) {
  v1::WatchEventsRequest of_b;
  of_b.add_listeners("listeners/b");
  Call all[3] = {Call(*this, {}), Call(*this, {}), Call(*this, {})};
  Call some[2] = {Call(*this, of_b), Call(*this, of_b)};
  constexpr int kSteps = 300;
  for (int i = 0; i < kSteps; ++i) {
    Append(2, "listeners/a");
    Append(1, "listeners/b");
  }
  for (Call& call : all) {
    EXPECT_EQ(CheckComplete(call.ReadUntil(3 * kSteps), 1, 3 * kSteps), 0);
  }
  for (Call& call : some) {
    const auto events = call.ReadUntil(3 * kSteps);
    ASSERT_EQ(events.size(), size_t{kSteps});
    for (int i = 0; i < kSteps; ++i) {
      EXPECT_EQ(events[i].revision(), 3 * (i + 1));
    }
  }
}

TEST_F(WatchTest, EndsWithOkAfterTheLastEvent) {
  Call watch(*this, {});
  Append(3);
  EndWatches();
  EXPECT_EQ(watch.ReadUntil(4).size(), 3u);
  EXPECT_EQ(Shown(watch.Finish()), "OK");
  EXPECT_EQ(Refusal({}), "14 / SHUTTING_DOWN");
}

TEST_F(WatchTest, AClientMayLeave) {
  {
    Call watch(*this, {});
    Append(1);
    watch.Cancel();
    EXPECT_EQ(watch.Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  Append(10);
  Call next(*this, {});
  Append(1);
  EXPECT_EQ(next.ReadMessage().at(0).revision(), 12);
}

// It ends the call that waits for it to read, too.
TEST_F(WatchTest, AStalledClientMayLeave) {
  {
    Call watch(*this, {});
    AppendAndStall(50, 4096);
    Append(50);
    watch.Cancel();
  }
  EndWatches();
  EXPECT_EQ(Refusal({}), "14 / SHUTTING_DOWN");
}

TEST_F(WatchTest, ChecksItsRequest) {
  v1::WatchEventsRequest name;
  name.add_listeners("listeners/a");
  name.add_listeners("connections/a");
  EXPECT_EQ(Refusal(name), "3 / INVALID_FIELD / listeners[1]");
  for (const int kind : {0, 99, -1}) {
    v1::WatchEventsRequest request;
    request.add_kinds(static_cast<v1::EventKind>(kind));
    EXPECT_EQ(Refusal(request), "3 / INVALID_FIELD / kinds[0]");
  }
  EXPECT_EQ(Refusal(From(-1)), "3 / INVALID_FIELD / start_revision");
  v1::WatchEventsRequest both = From(1);
  both.set_initial_snapshot(true);
  EXPECT_EQ(Refusal(both), "3 / INVALID_FIELD / initial_snapshot");
}

}  // namespace
}  // namespace portreeve::testing
