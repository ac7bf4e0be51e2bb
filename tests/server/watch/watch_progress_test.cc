// progress_interval: signs of life, and what a watcher has behind it.
#include <gtest/gtest.h>

#include <string>

#include "tests/server/service_fixture.h"
#include "tests/server/watch_fixture.h"

namespace portreeve::testing {
namespace {

class WatchProgressTest : public WatchFixture {
 protected:
  static v1::WatchEventsRequest WithProgress(v1::WatchEventsRequest request,
                                             int64_t seconds) {
    request.mutable_progress_interval()->set_seconds(seconds);
    return request;
  }
  static constexpr int64_t kNever = 3600;  // Within a test.
};

TEST_F(WatchProgressTest, ComesAtOnceAfterWhatAResumeHasMissed) {
  Append(3);
  Call watch(*this, WithProgress(From(2), kNever));
  const auto events = watch.ReadMessage();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[1].revision(), 3);
  EXPECT_TRUE(events[2].has_progress());
  EXPECT_EQ(events[2].revision(), 3);
  EXPECT_EQ(events[2].instance_id(), instance_id());
  EXPECT_TRUE(events[2].has_time());
  // Once.
  Append(1);
  EXPECT_EQ(watch.ReadMessage().size(), 1u);
}

TEST_F(WatchProgressTest, ComesAtOnceWhereNothingWasMissed) {
  Append(3);
  for (const int64_t start : {0, 4}) {
    Call watch(*this, WithProgress(From(start), kNever));
    const auto events = watch.ReadMessage();
    ASSERT_EQ(events.size(), 1u);
    EXPECT_TRUE(events[0].has_progress());
    EXPECT_EQ(events[0].revision(), 3);
  }
}

TEST_F(WatchProgressTest, PassesEveryFilterAndTellsWhereToGoOn) {
  Append(5, "listeners/a");
  v1::WatchEventsRequest request = WithProgress(From(1), kNever);
  request.add_listeners("listeners/b");
  request.add_kinds(v1::EVENT_KIND_LISTENER_CREATED);
  int64_t next = 0;
  {
    Call watch(*this, request);
    const auto events = watch.ReadMessage();
    ASSERT_EQ(events.size(), 1u);
    EXPECT_TRUE(events[0].has_progress());
    next = events[0].revision() + 1;
  }
  EXPECT_EQ(next, 6);
  // All that it had is forgotten, and none of it was for this one.
  Append(2 * kCapacity, "listeners/a");
  request.set_start_revision(next);
  Call watch(*this, request);
  const auto events = watch.ReadMessage();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].has_progress());
  EXPECT_EQ(events[0].revision(), 5 + 2 * kCapacity);
}

TEST_F(WatchProgressTest, ComesAgainAfterEachSilence) {
  Append(1);
  Call watch(*this, WithProgress({}, 1));
  for (int i = 0; i < 3; ++i) {
    const auto events = watch.ReadMessage();
    ASSERT_EQ(events.size(), 1u);
    EXPECT_TRUE(events[0].has_progress());
    EXPECT_EQ(events[0].revision(), 1);
  }
}

TEST_F(WatchProgressTest, AfterASnapshotOnlySilenceBringsIt) {
  Create("a");
  Call watch(*this, WithProgress(WithSnapshot(), kNever));
  const auto snapshot = watch.ReadSnapshot();
  EXPECT_EQ(snapshot.size(), 2u);
  Append(1);
  const auto events = watch.ReadMessage();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].has_handler_error());
}

TEST_F(WatchProgressTest, WhoDoesNotAskGetsNone) {
  Append(1);
  Call watch(*this, From(1));
  EXPECT_EQ(watch.ReadMessage().size(), 1u);
}

// While a message is on its way there is no timer; what has come meanwhile ends
// the silence.
TEST_F(WatchProgressTest, ABlockedReaderGetsNone) {
  Call watch(*this, WithProgress({}, 1));
  EXPECT_TRUE(watch.ReadMessage().at(0).has_progress());
  AppendAndStall(1, 1 << 20);
  Call clock(*this, WithProgress({}, 1));
  for (int i = 0; i < 3; ++i) clock.ReadMessage();
  Append(1);
  const auto events = watch.ReadUntil(2);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_TRUE(events[0].has_handler_error());
  EXPECT_TRUE(events[1].has_handler_error());
}

TEST_F(WatchProgressTest, HasLimits) {
  const auto refusal = [this](int64_t seconds, int32_t nanos) {
    v1::WatchEventsRequest request;
    request.mutable_progress_interval()->set_seconds(seconds);
    request.mutable_progress_interval()->set_nanos(nanos);
    return Refusal(request);
  };
  const std::string refused = "3 / INVALID_FIELD / progress_interval";
  EXPECT_EQ(refusal(0, 0), refused);
  EXPECT_EQ(refusal(0, 999'999'999), refused);
  EXPECT_EQ(refusal(-1, 0), refused);
  EXPECT_EQ(refusal(3600, 1), refused);
  Call shortest(*this, WithProgress({}, 1));
  EXPECT_TRUE(shortest.ReadMessage().at(0).has_progress());
  Call longest(*this, WithProgress({}, 3600));
  EXPECT_TRUE(longest.ReadMessage().at(0).has_progress());
}

}  // namespace
}  // namespace portreeve::testing
