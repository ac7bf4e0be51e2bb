#include "server/control/descriptor_shares.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "lib/net/descriptor_part.h"

namespace portreeve::server {
namespace {

TEST(DescriptorShares, AreAsTheyShouldBe) {
  struct Case {
    int64_t limit;
    int max_control_connections;
    int num_loops;
    int control_connections;
    int connections;
    int listeners;
  };
  constexpr int kMost = std::numeric_limits<int>::max();
  for (const Case& c : {
           Case{1, 1000, 2, 1, 1, 0},
           {16, 1000, 2, 1, 1, 0},
           {48, 1000, 2, 3, 1, 0},
           {64, 1000, 2, 4, 6, 0},
           {64, 1, 2, 1, 12, 0},
           {200, 1000, 2, 12, 126, 0},
           {480, 1000, 4, 30, 352, 0},
           {1024, 1000, 1, 64, 790, 25},
           {1024, 1000, 2, 64, 790, 20},
           {1024, 1000, 4, 64, 790, 10},
           {1024, 1000, 64, 64, 504, 0},
           {1024, 63, 2, 63, 792, 20},
           {4000, 1000, 2, 250, 3100, 166},
           {16'000, 1000, 2, 1000, 12'400, 766},
           {1 << 20, 1000, 32, 1000, 941'713, 100'577},
           {1 << 20, 100'000, 2, 65'536, 812'641, 100'727},
           {kMost, 1000, 2, 1000, 1'932'733'276, 214'744'234},
           {std::numeric_limits<int64_t>::max(), 1000, 2, 1000, 1'932'733'276,
            214'744'234},
       }) {
    const auto shares =
        DescriptorShares::Of(c.limit, c.max_control_connections, c.num_loops);
    EXPECT_EQ(shares.control_connections, c.control_connections) << c.limit;
    EXPECT_EQ(shares.connections, c.connections) << c.limit;
    EXPECT_EQ(shares.listeners, c.listeners) << c.limit;
  }
}

// It takes from the connections, and has a loop that has descriptors, too.
TEST(DescriptorShares, TheHttpPortHasOneOfItsOwn) {
  struct Case {
    int64_t limit;
    int http_connections;
    int connections;
  };
  for (const Case& c : {Case{1, 1, 1},
                        {64, 8, 1},
                        {1024, 128, 790 - 128},
                        {2176, 272, 1681 - 272},
                        {16'000, 272, 12'400 - 272}}) {
    const auto shares = DescriptorShares::Of(c.limit, 1000, 2, 272);
    EXPECT_EQ(shares.http_connections, c.http_connections) << c.limit;
    EXPECT_EQ(shares.connections, c.connections) << c.limit;
    const auto without = DescriptorShares::Of(c.limit, 1000, 2);
    EXPECT_EQ(without.http_connections, 0);
    EXPECT_EQ(without.control_connections, shares.control_connections);
  }
}

// With what the daemon itself has open, and what lookups, attempts and pipes
// may take beside the connections.
TEST(DescriptorShares, NeverExceedTheLimitTogether) {
  for (const int most : {1, 10, 1000, 100'000}) {
    for (const auto& [num_loops, most_http] :
         {std::pair(1, 0), {2, 0}, {2, 272}, {64, 0}}) {
      for (int64_t limit = 16; limit < 200'000; ++limit) {
        const auto shares =
            DescriptorShares::Of(limit, most, num_loops, most_http);
        ASSERT_GE(shares.control_connections, 1);
        ASSERT_LE(shares.control_connections, most);
        ASSERT_GE(shares.connections, 1);
        const int all_loops = num_loops + (most_http > 0 ? 1 : 0);
        const int64_t reserve = DescriptorShares::Reserve(limit, all_loops);
        const int64_t of_clients =
            int64_t{DescriptorShares::kOfControlConnection} *
                shares.control_connections +
            shares.http_connections + shares.connections;
        // A client, and a connection, there may be in any case.
        const int64_t all = of_clients + shares.listeners + reserve;
        if (shares.connections > 1) {
          ASSERT_LE(all, limit) << most << " " << num_loops;
        }
        ASSERT_GE(reserve, 24 + 5 * num_loops +
                               4 * int64_t{DescriptorPart::SizeFor(limit)});
      }
    }
  }
}

TEST(DescriptorParts, HaveASmallSizeOfTheirOwn) {
  EXPECT_EQ(DescriptorPart::SizeFor(1), 4);
  EXPECT_EQ(DescriptorPart::SizeFor(1024), 12);
  EXPECT_EQ(DescriptorPart::SizeFor(80'000), 1000);
  EXPECT_EQ(DescriptorPart::SizeFor(std::numeric_limits<int64_t>::max()), 1024);
  EXPECT_EQ(DescriptorPart::DescriptorsFor(1024), 48);
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
