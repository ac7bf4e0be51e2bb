// Handshakes and ControlTable where there is no memory.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <new>
#include <optional>
#include <string>

#include "server/control/control_table.h"
#include "server/control/handshakes.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::server {
namespace {

using testing::GiveMemoryAgain;
using testing::RefuseMemoryAfter;

// Nobody would end the one that has gone, and it would keep its place.
TEST(HandshakesNoMemoryTest, NobodyGoesForOneThatCouldNotEnter) {
  Handshakes<int> handshakes(2, std::chrono::seconds(10),
                             [](int) { return false; });
  const TimePoint now{};
  EXPECT_EQ(handshakes.Enter(1, now), std::nullopt);
  EXPECT_EQ(handshakes.Enter(2, now), std::nullopt);
  RefuseMemoryAfter(0);
  EXPECT_THROW((void)handshakes.Enter(3, now), std::bad_alloc);
  EXPECT_TRUE(GiveMemoryAgain());
  EXPECT_EQ(handshakes.Enter(4, now), 1);
  EXPECT_EQ(handshakes.Enter(5, now), 2);
}

TEST(ControlTableNoMemoryTest, OneThatHasEndedIsForgottenAtOnce) {
  ControlTable table;
  int num_refused = 0;
  for (int i = 0; i < 200; ++i) {
    SCOPED_TRACE(i);
    const std::string key = "fd:" + std::to_string(i);
    auto one = std::make_shared<ControlConnection>(
        ControlConnection::Client{key, "ipv4:127.0.0.1:1", false, std::nullopt},
        Descriptor());
    table.Add(one);
    RefuseMemoryAfter(0);
    table.OnEnded(one);
    if (!GiveMemoryAgain()) {
      EXPECT_EQ(table.Find(key), one);
      continue;
    }
    ++num_refused;
    EXPECT_EQ(table.Find(key), nullptr);
    const std::weak_ptr<ControlConnection> gone = one;
    one.reset();
    EXPECT_TRUE(gone.expired());
  }
  EXPECT_GT(num_refused, 0);
}

}  // namespace
}  // namespace portreeve::server
