#include "client/cli/top_model.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "portreeve/v1/stats.pb.h"

namespace portreeve::cli {
namespace {

// One message of a daemon that has come so far.
class Message {
 public:
  explicit Message(int64_t seconds, const std::string& instance = "one") {
    message_.mutable_time()->set_seconds(seconds);
    message_.set_instance_id(instance);
    message_.mutable_daemon()->mutable_cpu_time()->set_seconds(seconds / 2);
  }
  Message& With(const std::string& name, int64_t accepted, int64_t closed,
                int64_t in, int64_t out) {
    v1::ListenerStats& stats = *message_.add_listeners();
    stats.set_name("listeners/" + name);
    stats.set_closed_total(closed);
    v1::ListenerStatus& status = *stats.mutable_status();
    status.set_accepted_total(accepted);
    status.set_num_connections(static_cast<int32_t>(accepted - closed));
    status.set_bytes_received_total(in);
    status.set_bytes_sent_total(out);
    return *this;
  }
  Message& Without(const std::string& name) {
    message_.add_deleted("listeners/" + name);
    return *this;
  }
  const v1::WatchStatsResponse& get() const { return message_; }

 private:
  v1::WatchStatsResponse message_;
};

std::vector<std::string> Names(const TopModel& model,
                               TopOrder order = TopOrder::kName,
                               const std::string& filter = "") {
  std::vector<std::string> names;
  for (const TopRow& row : model.Rows(order, filter)) {
    names.push_back(row.name.substr(10));
  }
  return names;
}

using List = std::vector<std::string>;

TEST(TopModelTest, RatesAreBetweenTheLastTwoTimes) {
  TopModel model;
  model.Take(Message(10).With("a", 100, 90, 1000, 2000).get());
  EXPECT_FALSE(model.has_rates());
  EXPECT_FALSE(model.Rows(TopOrder::kName, "")[0].rates);
  model.Take(Message(12).With("a", 110, 94, 1200, 2000).get());
  ASSERT_TRUE(model.has_rates());
  const TopRow row = model.Rows(TopOrder::kName, "")[0];
  ASSERT_TRUE(row.rates);
  EXPECT_EQ(row.rates->accepts, 5);
  EXPECT_EQ(row.rates->closes, 2);
  EXPECT_EQ(row.rates->in, 100);
  EXPECT_EQ(row.rates->out, 0);
  EXPECT_EQ(model.Totals().cpu, 0.5);
  // What is not told again has not changed.
  model.Take(Message(13).get());
  EXPECT_EQ(model.Rows(TopOrder::kName, "")[0].rates->accepts, 0);
}

TEST(TopModelTest, MessagesOfOneTimeBelongTogether) {
  TopModel model;
  model.Take(Message(10).With("a", 1, 0, 0, 0).get());
  model.Take(Message(10).With("b", 1, 0, 0, 0).get());
  EXPECT_FALSE(model.has_rates());
  model.Take(Message(11).With("a", 3, 0, 0, 0).get());
  model.Take(Message(11).With("b", 4, 0, 0, 0).get());
  const auto rows = model.Rows(TopOrder::kName, "");
  EXPECT_EQ(rows[0].rates->accepts, 2);
  EXPECT_EQ(rows[1].rates->accepts, 3);
  EXPECT_EQ(model.Totals().rates.accepts, 5);
}

TEST(TopModelTest, ANewListenerHasNoRatesAtFirstAndADeletedOneIsGone) {
  TopModel model;
  model.Take(Message(10).With("a", 1, 0, 0, 0).get());
  model.Take(Message(11).With("b", 7, 0, 0, 0).Without("a").get());
  ASSERT_EQ(Names(model), List{"b"});
  EXPECT_FALSE(model.Rows(TopOrder::kName, "")[0].rates);
  model.Take(Message(12).With("b", 9, 0, 0, 0).get());
  EXPECT_EQ(model.Rows(TopOrder::kName, "")[0].rates->accepts, 2);
}

// One that was deleted and created again between two times counts from 0.
TEST(TopModelTest, ATotalThatHasBecomeLessHasBegunAnew) {
  TopModel model;
  model.Take(Message(10).With("a", 100, 0, 0, 0).get());
  model.Take(Message(11).With("a", 3, 0, 0, 0).get());
  EXPECT_EQ(model.Rows(TopOrder::kName, "")[0].rates->accepts, 3);
}

TEST(TopModelTest, ADaemonThatWasStartedAnewBeginsAnew) {
  TopModel model;
  model.Take(Message(10).With("a", 1, 0, 0, 0).get());
  model.Take(Message(11).With("a", 2, 0, 0, 0).get());
  model.OnStreamStarted();
  model.Take(Message(12, "two").With("b", 1, 0, 0, 0).get());
  EXPECT_EQ(Names(model), List{"b"});
  EXPECT_FALSE(model.has_rates());
}

// A stream that broke says nothing of what was deleted meanwhile.
TEST(TopModelTest, AfterANewStreamThoseAreGoneThatItDoesNotTellOf) {
  TopModel model;
  model.Take(Message(10).With("a", 1, 0, 0, 0).With("b", 1, 0, 0, 0).get());
  model.OnStreamStarted();
  model.Take(Message(20).With("b", 11, 0, 0, 0).get());
  model.Take(Message(20).With("c", 1, 0, 0, 0).get());
  EXPECT_EQ(model.Rows(TopOrder::kName, "b")[0].rates->accepts, 1);
  model.Take(Message(21).get());
  EXPECT_EQ(Names(model), (List{"b", "c"}));
  model.Take(Message(22).get());
  EXPECT_EQ(Names(model), (List{"b", "c"}));
}

TEST(TopModelTest, OrdersTheLargestFirstAndEqualsByName) {
  TopModel model;
  model.Take(Message(10)
                 .With("a", 0, 0, 0, 0)
                 .With("b", 0, 0, 0, 0)
                 .With("c", 0, 0, 0, 0)
                 .With("d", 0, 0, 0, 0)
                 .get());
  model.Take(Message(11)
                 .With("b", 1, 1, 30, 1)
                 .With("c", 5, 5, 20, 2)
                 .With("d", 2, 0, 10, 3)
                 .get());
  EXPECT_EQ(Names(model, TopOrder::kAccepts), (List{"c", "d", "b", "a"}));
  EXPECT_EQ(Names(model, TopOrder::kOpen), (List{"d", "a", "b", "c"}));
  EXPECT_EQ(Names(model, TopOrder::kIn), (List{"b", "c", "d", "a"}));
  EXPECT_EQ(Names(model, TopOrder::kOut), (List{"d", "c", "b", "a"}));
  EXPECT_EQ(Names(model, TopOrder::kName), (List{"a", "b", "c", "d"}));
  EXPECT_EQ(Names(model, TopOrder::kName, "c"), List{"c"});
}

// Nobody knows how much time has passed.
TEST(TopModelTest, WhereTheDaemonsClockIsSetBackThereAreNoRates) {
  TopModel model;
  model.Take(Message(10).With("a", 1, 0, 0, 0).get());
  model.Take(Message(11).With("a", 2, 0, 0, 0).get());
  model.Take(Message(5).With("a", 100, 0, 0, 0).get());
  EXPECT_FALSE(model.has_rates());
  EXPECT_FALSE(model.Rows(TopOrder::kName, "")[0].rates);
  EXPECT_EQ(model.Totals().cpu, 0);
  EXPECT_EQ(model.Totals().rates.accepts, 0);
  model.Take(Message(7).With("a", 104, 0, 0, 0).get());
  EXPECT_EQ(model.Rows(TopOrder::kName, "")[0].rates->accepts, 2);
}

TEST(TopModelTest, NoNumberIsTooLarge) {
  constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  TopModel model;
  for (const int second : {10, 11}) {
    v1::WatchStatsResponse message = Message(second).get();
    v1::ListenerStats& stats = *message.add_listeners();
    stats.set_name("listeners/a");
    stats.mutable_status()->set_accepted_total(second == 10 ? kLeast : kMost);
    stats.set_closed_total(second == 10 ? kMost : kLeast);
    model.Take(message);
  }
  const TopRates rates = *model.Rows(TopOrder::kName, "")[0].rates;
  EXPECT_DOUBLE_EQ(rates.accepts, 0x1p64);
  EXPECT_DOUBLE_EQ(rates.closes, -0x1p63);
}

}  // namespace
}  // namespace portreeve::cli
