// Watchers that do not read: what they cost, and what they are told later.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/server/service_fixture.h"
#include "tests/server/watch_fixture.h"

namespace portreeve::testing {
namespace {

// So many events of so many bytes are 200 KiB: one message, which does not get
// through to a client that does not read.
constexpr int kBurst = 50;
constexpr size_t kLarge = 4096;

class WatchStallTest : public WatchFixture {};

// The log does not know of it while its message is on its way, so that nothing
// is done for it; afterwards it has that message, and then the gap.
TEST_F(WatchStallTest, HoldsOneMessage) {
  Call watch(*this, {});
  EXPECT_EQ(OnLoop([this] { return log().num_subscribers(); }), 1u);
  AppendAndStall(kBurst, kLarge);
  for (int i = 0; i < 50; ++i) {
    Append(100);
    ASSERT_EQ(OnLoop([this] { return log().num_subscribers(); }), 0u);
  }
  const int64_t last = kBurst + 5000;
  EXPECT_EQ(CheckComplete(watch.ReadMessage(), 1, kBurst), 0);
  EXPECT_EQ(CheckComplete(watch.ReadUntil(last), kBurst + 1, last),
            last - kBurst - kCapacity);
  WaitUntilIdle();
  Append(1);
  EXPECT_EQ(CheckComplete(watch.ReadMessage(), last + 1, last + 1), 0);
}

// Connections come and go as without it, and nothing of theirs waits for it.
TEST_F(WatchStallTest, TheDataPlaneDoesNothingForIt) {
  constexpr int kConnections = 3000;
  const int port = Create("a").status().listening_on().inet().port();
  Call watch(*this, {});
  AppendAndStall(kBurst, kLarge);
  const int64_t before = last_revision();
  for (int i = 0; i < kConnections; ++i) {
    PlainClient client(port);
    client.Send("hello");
    ASSERT_EQ(client.Receive(), "hello");
    ASSERT_EQ(OnLoop([this] { return log().num_subscribers(); }), 0u);
  }
  const int64_t last = before + 2 * kConnections;
  WaitUntil([&] { return log().last_revision() == last; });
  EXPECT_EQ(CheckComplete(watch.ReadMessage(), 2, before), 0);
  EXPECT_EQ(CheckComplete(watch.ReadUntil(last), before + 1, last),
            last - before - kCapacity);
}

// It holds up nobody who reads.
TEST_F(WatchStallTest, AnotherGetsEverything) {
  Call stalled(*this, {});
  AppendAndStall(kBurst, kLarge);
  Call lively(*this, From(1));
  EXPECT_EQ(CheckComplete(lively.ReadUntil(kBurst), 1, kBurst), 0);
  int64_t last = kBurst;
  for (int i = 0; i < 50; ++i, last += 100) {
    Append(100);
    EXPECT_EQ(CheckComplete(lively.ReadUntil(last + 100), last + 1, last + 100),
              0);
  }
  EXPECT_EQ(CheckComplete(stalled.ReadUntil(last), 1, last),
            last - kBurst - kCapacity);
  EXPECT_EQ(OnLoop([this] { return service().lost_total(); }),
            last - kBurst - kCapacity);
}

TEST_F(WatchStallTest, AGapIsToldToWhoWantedWhatIsLost) {
  v1::WatchEventsRequest wanted;
  wanted.add_listeners("listeners/a");
  wanted.add_kinds(v1::EVENT_KIND_HANDLER_ERROR);
  v1::WatchEventsRequest of_another = wanted;
  of_another.set_listeners(0, "listeners/other");
  v1::WatchEventsRequest of_another_kind = wanted;
  of_another_kind.add_kinds(v1::EVENT_KIND_LISTENER_DELETED);
  of_another_kind.mutable_kinds()->erase(of_another_kind.kinds().begin());
  Call wants(*this, wanted);
  Call wants_another(*this, of_another);
  Call wants_another_kind(*this, of_another_kind);
  Append(kCapacity + 10);  // In one step: the watchers cannot look meanwhile.
  EXPECT_EQ(CheckComplete(wants.ReadUntil(kCapacity + 10), 1, kCapacity + 10),
            10);
  // It was told once, to one.
  EXPECT_EQ(OnLoop([this] { return service().lost_total(); }), 10);
  EXPECT_EQ(OnLoop([this] { return service().num_watchers(); }), 3u);
  Append(1, "listeners/other");
  const auto events = wants_another.ReadMessage();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].has_handler_error());
  EXPECT_EQ(events[0].revision(), kCapacity + 11);
  EndWatches();
  EXPECT_TRUE(wants_another_kind.ReadMessage().empty());
  EXPECT_EQ(OnLoop([this] { return service().lost_total(); }), 10);
}

// A log that keeps one burst only.
class SmallLogTest : public WatchFixture {
 protected:
  SmallLogTest() : WatchFixture(kBurst) {}
};

// Each burst is four times what is kept; two of them fall to one message.
TEST_F(SmallLogTest, OvertakenAgainAndAgain) {
  Call watch(*this, {});
  int64_t last = 0;
  for (int i = 0; i < 5; ++i) {
    AppendAndStall(4 * kBurst, kLarge);
    Append(4 * kBurst, "listeners/a", kLarge);
    for (int j = 0; j < 2; ++j, last += 4 * kBurst) {
      const auto events = watch.ReadMessage();
      ASSERT_EQ(events.size(), size_t{1 + kBurst});
      EXPECT_EQ(CheckComplete(events, last + 1, last + 4 * kBurst), 3 * kBurst);
    }
    WaitUntilIdle();
  }
}

// The count is that of what was not kept, wanted or not, once there was
// something wanted among it.
TEST_F(SmallLogTest, OvertakenWithAFilter) {
  v1::WatchEventsRequest request;
  request.add_listeners("listeners/a");
  Call watch(*this, request);
  AppendAndStall(kBurst, kLarge);
  Append(1, "listeners/a");
  // Not wanted, and missed all the same.
  Append(kBurst / 2 - 1, "listeners/b");
  Append(kBurst, "listeners/b");
  Append(5, "listeners/a");
  EXPECT_EQ(CheckComplete(watch.ReadMessage(), 1, kBurst), 0);

  const int64_t last = 2 * kBurst + kBurst / 2 + 5;
  const auto events = watch.ReadMessage();
  ASSERT_EQ(events.size(), 6u);
  EXPECT_EQ(events[0].gap().first_revision(), kBurst + 1);
  EXPECT_EQ(events[0].gap().last_revision(), last - kBurst);
  EXPECT_EQ(events[0].gap().count(), last - 2 * kBurst);
  for (int i = 1; i <= 5; ++i) EXPECT_EQ(events[i].revision(), last - 5 + i);
}

// Events that are not wanted are no gap for one who looks at them in time.
TEST_F(SmallLogTest, WhatIsNotWantedIsNoGap) {
  v1::WatchEventsRequest request;
  request.add_listeners("listeners/a");
  Call watch(*this, request);
  for (int i = 0; i < 20; ++i) {
    Append(kBurst - 1, "listeners/b");
    Append(1, "listeners/a");
    const auto events = watch.ReadMessage();
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].revision(), (i + 1) * kBurst);
    WaitUntilIdle();
  }
}

}  // namespace
}  // namespace portreeve::testing
