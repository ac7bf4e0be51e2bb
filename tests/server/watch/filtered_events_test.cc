#include "server/watch/filtered_events.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/watch/snapshot.h"

namespace portreeve::server {
namespace {

class FilteredEventsTest : public ::testing::Test {
 protected:
  static constexpr int64_t kCapacity = 10'000;

  // Events of somewhat more than `size` bytes.
  void Append(int count, const std::string& listener = "listeners/a",
              size_t size = 0) {
    v1::Event event;
    event.mutable_handler_error()->set_message(std::string(size, 'x'));
    for (int i = 0; i < count; ++i) log_.Append(event, listener);
  }

  // The revisions in a batch; that of a gap is negative.
  static std::vector<int64_t> Revisions(const FilteredEvents::Batch& batch) {
    v1::WatchEventsResponse response;
    EXPECT_TRUE(response.ParseFromArray(batch.bytes.begin(),
                                        static_cast<int>(batch.bytes.size())));
    std::vector<int64_t> revisions;
    for (const v1::Event& event : response.events()) {
      revisions.push_back(event.has_gap() ? -event.revision()
                                          : event.revision());
    }
    return revisions;
  }

  static WatchFilter Of(const std::string& listener) {
    WatchFilter filter;
    filter.listeners.insert(listener);
    return filter;
  }

  EventLog log_{kCapacity};
};

using Seen = std::vector<int64_t>;

TEST_F(FilteredEventsTest, ABatchGoesToTheEndOfTheLog) {
  FilteredEvents events(log_, {});
  Append(3);
  const FilteredEvents::Batch& batch = events.From(2);
  EXPECT_EQ(batch.first, 2);
  EXPECT_EQ(batch.end, 4);
  EXPECT_EQ(Revisions(batch), (Seen{2, 3}));
  EXPECT_DEATH(events.From(4), "CHECK");
}

// Though they are fewer than the log may have.
TEST_F(FilteredEventsTest, WhatWasTooLargeToKeepIsAGap) {
  EventLog log(kCapacity, 600'000);
  FilteredEvents events(log, {});
  v1::Event event;
  event.mutable_handler_error()->set_message(std::string(1'000, 'x'));
  for (int i = 0; i < 1'000; ++i) log.Append(event, "listeners/a");
  const int64_t first = log.first_revision();
  EXPECT_GT(first, 400);
  EXPECT_LT(first, 1'000);
  EXPECT_LE(log.MemoryUse(), 600'000u);
  std::vector<int64_t> seen;
  for (int64_t next = 1; next <= 1'000;) {
    const FilteredEvents::Batch& batch = events.From(next);
    const std::vector<int64_t> more = Revisions(batch);
    seen.insert(seen.end(), more.begin(), more.end());
    next = batch.end;
  }
  ASSERT_EQ(seen.size(), 1 + static_cast<size_t>(1'000 - first + 1));
  EXPECT_EQ(seen[0], -(first - 1));
  EXPECT_EQ(seen[1], first);
  EXPECT_EQ(seen.back(), 1'000);
}

TEST_F(FilteredEventsTest, WhoAsksForTheSameGetsTheSameBytes) {
  FilteredEvents events(log_, {});
  Append(3, "listeners/a", 1000);
  const FilteredEvents::Batch first = events.From(1);
  Append(1);
  const FilteredEvents::Batch second = events.From(first.end);
  // One who was busy meanwhile.
  const FilteredEvents::Batch again = events.From(1);
  EXPECT_EQ(again.bytes.begin(), first.bytes.begin());
  EXPECT_EQ(again.end, first.end);
  EXPECT_EQ(events.From(again.end).end, second.end);
  EXPECT_EQ(Revisions(second), (Seen{4}));
}

TEST_F(FilteredEventsTest, EachFilterHasItsOwn) {
  EventFilters filters(log_);
  const auto a = filters.Of(Of("listeners/a"));
  const auto b = filters.Of(Of("listeners/b"));
  const auto all = filters.Of({});
  WatchFilter kind;
  kind.kinds.set(v1::EVENT_KIND_GAP);
  const auto gaps = filters.Of(kind);
  Append(2, "listeners/a");
  Append(1, "listeners/b");
  Append(1, "listeners/a");
  EXPECT_EQ(Revisions(a->From(1)), (Seen{1, 2, 4}));
  EXPECT_EQ(Revisions(b->From(1)), (Seen{3}));
  EXPECT_EQ(Revisions(all->From(1)), (Seen{1, 2, 3, 4}));
  // There is nothing, and that is known up to the end.
  EXPECT_EQ(Revisions(gaps->From(1)), Seen{});
  EXPECT_EQ(gaps->From(1).end, 5);
}

TEST_F(FilteredEventsTest, EqualFiltersAreOneAsLongAsSomebodyHasThem) {
  EventFilters filters(log_);
  auto one = filters.Of(Of("listeners/a"));
  const std::weak_ptr<FilteredEvents> alive = one;
  EXPECT_EQ(filters.Of(Of("listeners/a")), one);
  EXPECT_NE(filters.Of(Of("listeners/b")), one);
  EXPECT_NE(filters.Of({}), one);
  one.reset();
  EXPECT_TRUE(alive.expired());
  EXPECT_NE(filters.Of(Of("listeners/a")), nullptr);
}

TEST_F(FilteredEventsTest, ABatchIsNotLargerThanAMessage) {
  FilteredEvents events(log_, {});
  constexpr size_t kLarge = 50'000;
  Append(20, "listeners/a", kLarge);
  int64_t next = 1;
  Seen seen;
  while (next <= 20) {
    const FilteredEvents::Batch batch = events.From(next);
    EXPECT_LE(batch.bytes.size(), kMaxEventMessageBytes);
    EXPECT_GT(batch.bytes.size() + kLarge, kMaxEventMessageBytes - 1000);
    for (const int64_t revision : Revisions(batch)) seen.push_back(revision);
    EXPECT_EQ(seen.back(), batch.end - 1);
    next = batch.end;
  }
  EXPECT_EQ(seen.size(), 20u);
  // But for one that is larger by itself.
  Append(1, "listeners/a", 2 * kMaxEventMessageBytes);
  Append(1);
  EXPECT_EQ(Revisions(events.From(21)), (Seen{21}));
}

TEST_F(FilteredEventsTest, LooksAtSoManyAtATime) {
  FilteredEvents events(log_, Of("listeners/b"));
  Append(6000);
  EXPECT_EQ(events.From(1).end, 1 + FilteredEvents::kMaxScan);
  EXPECT_EQ(events.From(1 + FilteredEvents::kMaxScan).end, 6001);
}

TEST_F(FilteredEventsTest, WhatIsNotKeptIsAGapAtTheFront) {
  EventLog log(3);
  FilteredEvents all(log, {});
  FilteredEvents none(log, Of("listeners/none"));
  v1::Event event;
  event.mutable_limit_reached();
  for (int i = 0; i < 10; ++i) log.Append(event, "");
  EXPECT_EQ(Revisions(all.From(4)), (Seen{-7, 8, 9, 10}));
  // It has missed nothing.
  EXPECT_EQ(Revisions(none.From(4)), Seen{});
  EXPECT_EQ(none.From(4).end, 11);
  EXPECT_EQ(Revisions(all.From(8)), (Seen{8, 9, 10}));
  // The log drops what a batch was made of: the batch is still true.
  for (int i = 0; i < 5; ++i) log.Append(event, "");
  EXPECT_EQ(Revisions(all.From(8)), (Seen{8, 9, 10}));
  EXPECT_EQ(Revisions(all.From(11)), (Seen{-12, 13, 14, 15}));
}

// What is kept for others is bounded, in number and in bytes; what was thrown
// away is made anew.
TEST_F(FilteredEventsTest, KeepsLittle) {
  FilteredEvents events(log_, {});
  for (int64_t first = 1; first <= 100; ++first) {
    Append(1);
    events.From(first);
    EXPECT_LT(events.kept_bytes(), 8u * 150);
  }
  EXPECT_EQ(events.From(100).end, 101);
  EXPECT_EQ(events.From(1).end, 101);
  EXPECT_EQ(Revisions(events.From(1)).size(), 100u);
  for (int64_t first = 101; first <= 120; ++first) {
    Append(1, "listeners/a", 100'000);
    events.From(first);
    EXPECT_LE(events.kept_bytes(), kMaxEventMessageBytes);
  }
}

}  // namespace
}  // namespace portreeve::server
