// LostEvents where there is no memory for a listener.
#include <gtest/gtest.h>

#include <string>

#include "server/events/lost_events.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::testing {
namespace {

TEST(LostEventsNoMemoryTest, AnEventThatFoundNoneIsNotDenied) {
  // They are too long to need none.
  const std::string first = "listeners/" + std::string(50, 'a');
  const std::string second = "listeners/" + std::string(50, 'b');
  bool refused = true;
  for (int given = 0; refused; ++given) {
    server::LostEvents events;
    events.Add(1, v1::EVENT_KIND_LISTENER_CREATED, first);
    RefuseMemoryAfter(given);
    events.Add(2, v1::EVENT_KIND_LISTENER_CREATED, second);
    refused = GiveMemoryAgain();
    EXPECT_TRUE(events.Has(1, {second}, {})) << given;
    EXPECT_TRUE(events.Has(2, {second}, {})) << given;
    EXPECT_FALSE(events.Has(3, {second}, {})) << given;
    events.Add(3, v1::EVENT_KIND_LISTENER_CREATED, second);
    EXPECT_TRUE(events.Has(3, {second}, {})) << given;
    EXPECT_FALSE(events.Has(3, {first}, {})) << given;
  }
}

}  // namespace
}  // namespace portreeve::testing
