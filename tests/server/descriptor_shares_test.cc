#include "server/descriptor_shares.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

namespace portreeve::server {
namespace {

TEST(DescriptorShares, AreAsTheyShouldBe) {
  struct Case {
    int64_t limit;
    int max_control_connections;
    int control_connections;
    int connections;
    int listeners;
  };
  constexpr int kMost = std::numeric_limits<int>::max();
  for (const Case& c : {
           Case{1, 1000, 1, 1, 0},
           {16, 1000, 1, 1, 0},
           {24, 1000, 1, 1, 0},
           {64, 1000, 4, 8, 0},
           {64, 1, 1, 14, 0},
           {200, 1000, 12, 128, 0},
           {480, 1000, 30, 372, 0},
           {1024, 1000, 64, 790, 38},
           {1024, 64, 64, 790, 38},
           {1024, 63, 63, 792, 38},
           {4000, 1000, 250, 3100, 336},
           {16'000, 1000, 1000, 12'400, 1536},
           {1 << 20, 1000, 1000, 941'713, 104'793},
           {1 << 20, 100'000, 65'536, 812'641, 104'793},
           {kMost, 1000, 1000, 1'932'733'276, 214'748'300},
           {std::numeric_limits<int64_t>::max(), 1000, 1000, 1'932'733'276,
            214'748'300},
       }) {
    const auto shares =
        DescriptorShares::Of(c.limit, c.max_control_connections);
    EXPECT_EQ(shares.control_connections, c.control_connections) << c.limit;
    EXPECT_EQ(shares.connections, c.connections) << c.limit;
    EXPECT_EQ(shares.listeners, c.listeners) << c.limit;
  }
}

TEST(DescriptorShares, NeverExceedTheLimitTogether) {
  for (const int most : {1, 10, 1000, 100'000}) {
    for (int64_t limit = 16; limit < 200'000; ++limit) {
      const auto shares = DescriptorShares::Of(limit, most);
      ASSERT_GE(shares.control_connections, 1);
      ASSERT_LE(shares.control_connections, most);
      ASSERT_GE(shares.connections, 1);
      ASSERT_LE(int64_t{2} * shares.control_connections + shares.connections +
                    shares.listeners,
                limit)
          << most;
    }
  }
}

// Listeners take and give back, and so do connections: every sequence.
TEST(ListenerDescriptors, HoldUnderEveryShortSequenceOfEvents) {
  constexpr int kLength = 8;
  constexpr int kNumEvents = 4;
  for (const int share : {0, 1, 2}) {
    for (const int beyond : {0, 1, 2}) {
      for (int sequence = 0; sequence < 1 << (2 * kLength); ++sequence) {
        DescriptorBudget budget(beyond);
        ListenerDescriptors listeners(share, budget);
        int of_listeners = 0;
        int of_connections = 0;
        std::string text;
        for (int i = 0, rest = sequence; i < kLength; ++i, rest /= kNumEvents) {
          const int event = rest % kNumEvents;
          const int taken_beyond =
              of_listeners > share ? of_listeners - share : 0;
          text += "TGtg"[event];
          if (event == 0) {
            const bool expected =
                of_listeners < share || taken_beyond + of_connections < beyond;
            ASSERT_EQ(listeners.Take(), expected) << text;
            if (expected) ++of_listeners;
          } else if (event == 1 && of_listeners > 0) {
            listeners.GiveBack();
            --of_listeners;
          } else if (event == 2 && budget.Has(1)) {
            budget.Take(1);
            ++of_connections;
          } else if (event == 3 && of_connections > 0) {
            budget.GiveBack(1);
            --of_connections;
          }
          const int beyond_now =
              of_listeners > share ? of_listeners - share : 0;
          ASSERT_EQ(budget.num_free(), beyond - of_connections - beyond_now)
              << share << " " << beyond << " " << text;
        }
      }
    }
  }
}

}  // namespace
}  // namespace portreeve::server
