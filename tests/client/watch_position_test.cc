#include "client/watch_position.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <set>
#include <string>

namespace portreeve::client {
namespace {

v1::Event At(int64_t revision) {
  v1::Event event;
  event.set_revision(revision);
  event.set_instance_id("one");
  return event;
}

v1::WatchEventsRequest Request(bool snapshot, int64_t start) {
  v1::WatchEventsRequest request;
  request.set_initial_snapshot(snapshot);
  request.set_start_revision(start);
  request.add_listeners("listeners/a");
  request.mutable_progress_interval()->set_seconds(20);
  return request;
}

std::string Text(const WatchPosition& position) {
  const v1::WatchEventsRequest& request = position.request();
  EXPECT_EQ(request.listeners_size(), 1);
  EXPECT_EQ(request.progress_interval().seconds(), 20);
  return request.instance_id() + " " +
         (request.initial_snapshot() ? "snapshot" : "") +
         std::to_string(request.start_revision());
}

TEST(WatchPositionTest, BeforeTheFirstEventItIsTheFirstRequest) {
  EXPECT_EQ(Text(WatchPosition(Request(false, 0))), " 0");
  EXPECT_EQ(Text(WatchPosition(Request(false, 7))), " 7");
  EXPECT_EQ(Text(WatchPosition(Request(true, 0))), " snapshot0");
}

// Every sequence of: an event of a snapshot (a), its end (d), an event (e), a
// gap (g), progress (p); the snapshot's come first, as they do.
void ForEverySequence(const std::string& steps, bool snapshot, size_t length) {
  WatchPosition position(Request(snapshot, snapshot ? 0 : 5));
  int64_t revision = 4;
  bool open = snapshot;
  for (const char step : steps) {
    v1::Event event = At(revision);
    if (step == 'a') {
      event.mutable_listener_created();
    } else if (step == 'd') {
      event.mutable_snapshot_done();
      open = false;
    } else if (step == 'e') {
      event.set_revision(++revision);
      event.mutable_limit_reached();
    } else if (step == 'g') {
      event.set_revision(revision += 10);
      event.mutable_gap()->set_last_revision(revision);
    } else {
      event.mutable_progress();
    }
    position.Take(event);
    ASSERT_EQ(Text(position),
              open ? "one snapshot0" : "one " + std::to_string(revision + 1))
        << steps;
  }
  WatchPosition anew = position;
  anew.StartAnew();
  ASSERT_EQ(Text(anew), snapshot ? " snapshot0" : " 1") << steps;
  if (steps.size() == length) return;
  for (const char step : std::string(open ? "ad" : "egp")) {
    ForEverySequence(steps + step, snapshot, length);
  }
}

TEST(WatchPositionTest, IsBehindWhatHasCome) {
  ForEverySequence("", false, 5);
  ForEverySequence("", true, 5);
}

TEST(WatchPositionTest, NoRevisionIsTooLarge) {
  constexpr int64_t kLast = std::numeric_limits<int64_t>::max();
  for (const int64_t revision : {kLast - 1, kLast}) {
    WatchPosition position(Request(false, 5));
    v1::Event event = At(revision);
    event.mutable_limit_reached();
    position.Take(event);
    EXPECT_EQ(Text(position), "one " + std::to_string(kLast));
  }
}

}  // namespace
}  // namespace portreeve::client
