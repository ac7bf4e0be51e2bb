// EventLog::Save() and Load(), to which each piece of memory in turn is
// refused.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "server/events/event_log.h"
#include "tests/server/random_events.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::server {
namespace {

using testing::AllOf;
using testing::RandomEvents;

constexpr int64_t kCapacity = EventRing::kChunk + 10;

// How often memory is refused.
class SavedEventsNoMemoryTest : public ::testing::TestWithParam<int> {
 protected:
  SavedEventsNoMemoryTest() {
    for (int i = 0; i < 900; ++i) events_.Append(log_);
    all_ = AllOf(log_, events_.names());
  }

  RandomEvents events_{1, 3};
  EventLog log_{kCapacity};
  std::string all_;
};

TEST_P(SavedEventsNoMemoryTest, ToSaveFailsAndCanBeRepeated) {
  bool refused = true;
  int given = 0;
  for (; refused; ++given) {
    testing::RefuseMemoryAfter(given, GetParam());
    const auto file = log_.Save();
    refused = testing::GiveMemoryAgain();
    EXPECT_EQ(refused, !file.ok()) << given;
    if (refused) {
      EXPECT_EQ(file.status().code(), absl::StatusCode::kResourceExhausted);
    }
    EXPECT_EQ(AllOf(log_, events_.names()), all_) << given;
    if (HasFailure()) return;
  }
  EXPECT_GT(given, 3);
}

TEST_P(SavedEventsNoMemoryTest, ToLoadFailsAndCanBeRepeated) {
  const auto file = log_.Save();
  ASSERT_TRUE(file.ok()) << file.status();
  bool refused = true;
  int given = 0;
  int num_failed = 0;
  for (; refused; ++given) {
    EventLog log(kCapacity);
    const std::string before = AllOf(log, events_.names());
    testing::RefuseMemoryAfter(given, GetParam());
    const absl::Status status = log.Load(*file);
    refused = testing::GiveMemoryAgain();
    if (status.ok()) {
      // A buffer that has no memory to become smaller stays as it is.
      EXPECT_EQ(AllOf(log, events_.names()), all_) << given;
    } else {
      ++num_failed;
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << given;
      EXPECT_EQ(AllOf(log, events_.names()), before) << given;
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(num_failed, 10);
}

INSTANTIATE_TEST_SUITE_P(, SavedEventsNoMemoryTest,
                         ::testing::Values(1, testing::kUntilGivenAgain));

}  // namespace
}  // namespace portreeve::server
