// Watches where there is no memory once, when the log has news.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "portreeve/v1/event.pb.h"
#include "tests/server/watch_fixture.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::testing {
namespace {

class WatchNoMemoryTest : public WatchFixture {
 protected:
  static constexpr int kWatches = 3;

  // Appends one event, and refuses memory once, after it was given some `given`
  // times, in the steps of the loop that follow.
  void AppendAndRefuse(int given) {
    OnLoop([this, given] {
      v1::Event event;
      event.mutable_handler_error()->set_listener("listeners/a");
      log().Append(event, "listeners/a");
      RefuseMemoryAfter(given);
    });
  }
  // Reads the event of that revision from all of them, but lets those go that
  // have ended for want of memory.
  static void ReadFromAll(std::vector<std::unique_ptr<Call>>& watches,
                          int64_t revision) {
    std::erase_if(watches, [revision](const std::unique_ptr<Call>& watch) {
      const std::vector<v1::Event> events = watch->ReadMessage();
      if (events.empty()) {
        EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::INTERNAL);
        return true;
      }
      EXPECT_EQ(events.size(), 1u);
      EXPECT_EQ(events[0].revision(), revision);
      return false;
    });
  }
};

// Nobody waits for ever: neither who finds no memory nor who comes after it.
TEST_F(WatchNoMemoryTest, WhoFindsNoneEndsAndTheOthersGoOn) {
  int num_ended = 0;
  int64_t revision = 0;
  bool refused = true;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    std::vector<std::unique_ptr<Call>> watches;
    for (int i = 0; i < kWatches; ++i) {
      watches.push_back(
          std::make_unique<Call>(*this, v1::WatchEventsRequest()));
    }
    AppendAndRefuse(given);
    ReadFromAll(watches, ++revision);
    refused = OnLoop([] { return GiveMemoryAgain(); });
    Append(1);
    ReadFromAll(watches, ++revision);
    EXPECT_GE(watches.size(), size_t{kWatches - 1});
    num_ended += kWatches - static_cast<int>(watches.size());
    for (const auto& watch : watches) watch->Cancel();
    watches.clear();
    WaitUntil([this] { return service().num_watchers() == 0; });
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(num_ended, 0);
}

}  // namespace
}  // namespace portreeve::testing
