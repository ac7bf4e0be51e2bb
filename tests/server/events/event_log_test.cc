#include "server/events/event_log.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace portreeve::server {
namespace {

// An event as a client gets it.
v1::Event Decode(const std::string& encoded) {
  v1::WatchEventsResponse response;
  EXPECT_TRUE(response.ParseFromString(encoded));
  EXPECT_EQ(response.events_size(), 1);
  return response.events(0);
}

v1::Event Decode(const EventLog& log, int64_t revision) {
  std::string encoded;
  log.AppendTo(encoded, revision);
  return Decode(encoded);
}

v1::Event LimitReached(int limit) {
  v1::Event event;
  event.mutable_limit_reached()->set_limit(limit);
  return event;
}

TEST(EventLogTest, StampsEventsInOrder) {
  EventLog log;
  EXPECT_EQ(log.last_revision(), 0);
  EXPECT_EQ(log.first_revision(), 1);
  for (int i = 1; i <= 3; ++i) log.Append(LimitReached(i), "listeners/a");
  EXPECT_EQ(log.last_revision(), 3);
  EXPECT_EQ(log.first_revision(), 1);
  for (int i = 1; i <= 3; ++i) {
    const v1::Event event = Decode(log, i);
    EXPECT_EQ(event.revision(), i);
    EXPECT_EQ(event.instance_id(), log.instance_id());
    EXPECT_TRUE(event.has_time());
    EXPECT_EQ(event.limit_reached().limit(), i);
  }
}

TEST(EventLogTest, KeepsKindAndListenerBesideTheBytes) {
  EventLog log;
  v1::Event closed;
  closed.mutable_connection_closed();
  log.Append(closed, "");
  log.Append(LimitReached(1), "listeners/a");
  EXPECT_EQ(log.at(1).kind, v1::EVENT_KIND_CONNECTION_CLOSED);
  EXPECT_EQ(log.at(1).listener_name, "");
  EXPECT_EQ(log.at(2).kind, v1::EVENT_KIND_LIMIT_REACHED);
  EXPECT_EQ(log.at(2).listener_name, "listeners/a");
}

// Every kind of Event has the EventKind of the same name.
TEST(EventLogTest, KnowsTheKindOfEveryEvent) {
  const auto* oneof = v1::Event::descriptor()->FindOneofByName("kind");
  // Some numbers are kept for later; kind 0 is none.
  ASSERT_EQ(oneof->field_count(), v1::EventKind_descriptor()->value_count() - 1);
  EventLog log;
  for (int i = 0; i < oneof->field_count(); ++i) {
    v1::Event event;
    event.GetReflection()->MutableMessage(&event, oneof->field(i));
    log.Append(event, "");
    std::string name = "EVENT_KIND_";
    for (const char c : oneof->field(i)->name()) {
      name += static_cast<char>(toupper(c));
    }
    EXPECT_EQ(v1::EventKind_Name(log.at(log.last_revision()).kind), name);
  }
}

TEST(EventLogTest, KeepsTheNewest) {
  EventLog log(3);
  for (int i = 1; i <= 3; ++i) log.Append(LimitReached(i), "");
  EXPECT_EQ(log.first_revision(), 1);
  for (int i = 4; i <= 10; ++i) {
    log.Append(LimitReached(i), "");
    EXPECT_EQ(log.first_revision(), i - 2);
    for (int r = i - 2; r <= i; ++r) {
      EXPECT_EQ(Decode(log, r).limit_reached().limit(), r);
    }
  }
}

TEST(EventLogTest, AGapTellsWhatIsMissing) {
  const EventLog log;
  const v1::Event event = Decode(log.MakeGap(5, 9));
  EXPECT_TRUE(event.has_gap());
  EXPECT_EQ(event.revision(), 9);
  EXPECT_EQ(event.instance_id(), log.instance_id());
  EXPECT_EQ(event.gap().first_revision(), 5);
  EXPECT_EQ(event.gap().last_revision(), 9);
  EXPECT_EQ(event.gap().count(), 5);
}

TEST(EventLogTest, AStampIsNotInTheLog) {
  EventLog log;
  for (int i = 1; i <= 3; ++i) log.Append(LimitReached(i), "listeners/a");
  v1::Event done;
  done.mutable_snapshot_done();
  const v1::Event event = Decode(log.Stamp(done, 3));
  EXPECT_EQ(event.revision(), 3);
  EXPECT_EQ(event.instance_id(), log.instance_id());
  EXPECT_TRUE(event.has_time());
  EXPECT_TRUE(event.has_snapshot_done());
  EXPECT_EQ(log.last_revision(), 3);
  EXPECT_EQ(Decode(log, 3).limit_reached().limit(), 3);
}

TEST(EventLogTest, TellsSubscribersWhileTheyLive) {
  EventLog log;
  std::vector<int64_t> seen;
  log.Append(LimitReached(1), "");
  {
    const EventLog::Subscription subscription(
        log, [&] { seen.push_back(log.last_revision()); });
    EXPECT_EQ(log.num_subscribers(), 1u);
    log.Append(LimitReached(2), "");
    log.Append(LimitReached(3), "");
  }
  log.Append(LimitReached(4), "");
  EXPECT_EQ(log.num_subscribers(), 0u);
  EXPECT_EQ(seen, (std::vector<int64_t>{2, 3}));
}

TEST(EventLogTest, EachHasAnInstanceIdOfItsOwn) {
  const EventLog a(1), b(1);
  EXPECT_NE(a.instance_id(), b.instance_id());
  EXPECT_EQ(a.instance_id().size(), 36u);
  EXPECT_EQ(a.instance_id()[14], '4');
}

}  // namespace
}  // namespace portreeve::server
