// What a watcher is given by the log of one process, and then by that of the
// next.
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "portreeve/v1/event.pb.h"
#include "server/events/event_log.h"
#include "server/watch/filtered_events.h"
#include "server/watch/watch_filter.h"
#include "tests/server/event_sequence.h"
#include "tests/server/random_events.h"

namespace portreeve::server {
namespace {

using testing::RandomEvents;

constexpr int64_t kCapacity = 300;
constexpr size_t kMuch = size_t{1} << 30;

std::unique_ptr<EventLog> NextOf(const EventLog& log, size_t max_bytes) {
  const auto file = log.Save();
  EXPECT_TRUE(file.ok()) << file.status();
  auto next = std::make_unique<EventLog>(kCapacity, max_bytes);
  const absl::Status status = next->Load(*file);
  EXPECT_TRUE(status.ok()) << status;
  return next;
}

// Gives what comes from revision `first` on, gaps included, and goes on after
// it.
std::string Watch(const EventLog& log, const WatchFilter& filter,
                  int64_t& first) {
  FilteredEvents events(log, filter);
  std::string bytes;
  while (first <= log.last_revision()) {
    const FilteredEvents::Batch& batch = events.From(first);
    bytes.append(reinterpret_cast<const char*>(batch.bytes.begin()),
                 batch.bytes.size());
    first = batch.end;
  }
  return bytes;
}

// Gives the events, without the times of those gaps that were made now.
std::vector<std::string> Decoded(const std::string& bytes) {
  v1::WatchEventsResponse response;
  EXPECT_TRUE(response.ParseFromString(bytes));
  std::vector<std::string> events;
  for (v1::Event& event : *response.mutable_events()) {
    if (event.has_gap()) event.clear_time();
    events.push_back(event.DebugString());
  }
  return events;
}

std::vector<WatchFilter> Filters(const RandomEvents& events) {
  std::vector<WatchFilter> filters(1);
  for (const SharedName& name : events.names()) {
    filters.push_back({{*name}, {}});
    EventKinds closed;
    closed.set(v1::EVENT_KIND_CONNECTION_CLOSED);
    filters.push_back({{*name}, closed});
  }
  EventKinds limits;
  limits.set(v1::EVENT_KIND_LIMIT_REACHED);
  filters.push_back({{}, limits});
  filters.push_back({{"listeners/nobody's"}, {}});
  return filters;
}

// The bytes of memory.
class SavedWatchTest : public ::testing::TestWithParam<size_t> {};

TEST_P(SavedWatchTest, AWatcherIsGivenTheSameByBoth) {
  RandomEvents events(1, 4);
  EventLog log(kCapacity, GetParam());
  for (int i = 0; i < 1'500; ++i) events.Append(log);
  const auto next = NextOf(log, GetParam());
  for (const WatchFilter& filter : Filters(events)) {
    for (int64_t first = 1; first <= log.last_revision(); first += 13) {
      int64_t of_log = first;
      int64_t of_next = first;
      ASSERT_EQ(Decoded(Watch(*next, filter, of_next)),
                Decoded(Watch(log, filter, of_log)));
      ASSERT_EQ(of_next, of_log);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, SavedWatchTest,
                         ::testing::Values(size_t{60'000}, kMuch));

// Each of these watches while the daemon goes through many processes, and is
// given each event once.
TEST(SavedWatchesTest, NothingIsMissingAndNothingComesTwice) {
  RandomEvents events(2, 4);
  auto log = std::make_unique<EventLog>(kCapacity, kMuch);
  const std::string instance_id = log->instance_id();
  const std::vector<WatchFilter> filters = Filters(events);
  std::vector<int64_t> next(filters.size(), 1);
  std::vector<v1::WatchEventsResponse> seen(filters.size());
  std::vector<int64_t> expected(filters.size(), 0);
  for (int process = 0; process < 20; ++process) {
    for (int i = 0; i < 40; ++i) {
      events.Append(*log);
      const EventRing::Entry event = log->at(log->last_revision());
      for (size_t j = 0; j < filters.size(); ++j) {
        if (filters[j].Passes(event.kind, event.listener_name)) ++expected[j];
      }
      // Some look now, and the others in another process.
      for (size_t j = 0; j < filters.size(); ++j) {
        if ((i + static_cast<int>(j)) % 17 != 0) continue;
        ASSERT_TRUE(seen[j].MergeFromString(Watch(*log, filters[j], next[j])));
      }
    }
    log = NextOf(*log, kMuch);
    ASSERT_EQ(log->instance_id(), instance_id);
  }
  for (size_t j = 0; j < filters.size(); ++j) {
    ASSERT_TRUE(seen[j].MergeFromString(Watch(*log, filters[j], next[j])));
    std::set<int64_t> revisions;
    bool has_gap = false;
    for (const v1::Event& event : seen[j].events()) {
      has_gap = has_gap || event.has_gap();
      EXPECT_EQ(event.instance_id(), instance_id);
      EXPECT_TRUE(revisions.insert(event.revision()).second);
    }
    EXPECT_FALSE(has_gap);
    EXPECT_EQ(seen[j].events_size(), expected[j]);
  }
  testing::CheckComplete({seen[0].events().begin(), seen[0].events().end()}, 1,
                         800);
}

}  // namespace
}  // namespace portreeve::server
