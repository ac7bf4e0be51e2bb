#include "server/stats/stats_board.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "portreeve/v1/stats.pb.h"
#include "tests/server/registry_fixture.h"

namespace portreeve::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class StatsBoardTest : public RegistryTest {
 protected:
  // Is woken again after each look, `interval` later.
  class Watcher : public StatsBoard::Watcher {
   public:
    Watcher(StatsBoardTest& test, Duration interval)
        : test_(test), interval_(interval) {
      test_.board_->Join(*this);
      test_.board_->WakeAt(*this, test_.time().Now());
    }
    ~Watcher() override { test_.board_->Leave(*this); }

    int64_t told() const override { return told_; }
    void OnLook() override {
      ++looks;
      messages.clear();
      for (const std::string& bytes :
           test_.board_->MessagesSince(told_, {}, 1 << 20)) {
        EXPECT_TRUE(messages.emplace_back().ParseFromString(bytes));
      }
      told_ = test_.board_->last();
      test_.board_->WakeAt(*this, test_.time().Now() + interval_);
      if (then) then();
    }

    int looks = 0;
    std::vector<v1::WatchStatsResponse> messages;  // Of the last look.
    std::function<void()> then;

   private:
    StatsBoardTest& test_;
    const Duration interval_;
    int64_t told_ = 0;
  };

  StatsBoardTest() { NewBoard(); }

  void NewBoard() {
    board_ = std::make_unique<StatsBoard>(
        loop(), *registry_, events_,
        [this](std::function<void(const ProcessValues&)> then) {
          ++asked_;
          ProcessValues values;
          values.open_fds = asked_;
          values.cpu_seconds = 1.25;
          if (!holds_answers_) return then(values);
          held_.push_back([then, values] { then(values); });
        });
  }

  void Advance(Duration delay) {
    time().Advance(delay);
    Settle();
  }
  // Lets what is due at this time happen.
  void LetDueLook() { Advance(Duration::zero()); }

  std::unique_ptr<StatsBoard> board_;
  int asked_ = 0;
  bool holds_answers_ = false;
  std::vector<std::function<void()>> held_;
};

TEST_F(StatsBoardTest, TellsWhatThereIsAndThenWhatHasChanged) {
  const v1::Listener a = Create("a");
  Create("b");
  Watcher watcher(*this, seconds(1));
  LetDueLook();
  ASSERT_EQ(watcher.looks, 1);
  ASSERT_EQ(watcher.messages.size(), 1u);
  const v1::WatchStatsResponse first = watcher.messages[0];
  ASSERT_EQ(first.listeners_size(), 2);
  EXPECT_EQ(first.listeners(0).name(), "listeners/a");
  EXPECT_EQ(first.listeners(0).status().listening_on().inet().port(),
            a.status().listening_on().inet().port());
  EXPECT_EQ(first.instance_id(), events_.instance_id());
  EXPECT_EQ(first.daemon().open_fds(), 1);
  EXPECT_EQ(first.daemon().cpu_time().nanos(), 250'000'000);
  EXPECT_EQ(first.daemon().events_last_revision(), 2);

  auto client = Connect(a);
  client.Send("hello");
  ASSERT_EQ(client.Receive(), "hello");
  Advance(seconds(1));
  ASSERT_EQ(watcher.looks, 2);
  ASSERT_EQ(watcher.messages[0].listeners_size(), 1);
  const v1::ListenerStats& changed = watcher.messages[0].listeners(0);
  EXPECT_EQ(changed.name(), "listeners/a");
  EXPECT_EQ(changed.status().num_connections(), 1);
  // The bytes of an open connection count.
  EXPECT_EQ(changed.status().bytes_received_total(), 5);
  EXPECT_EQ(changed.status().bytes_sent_total(), 5);
  EXPECT_EQ(changed.closed_total(), 0);
  EXPECT_EQ(watcher.messages[0].daemon().num_connections(), 1);

  client.Close();
  ASSERT_TRUE(RunUntil([&] { return num_connections() == 0; }));
  Close("b");
  Advance(seconds(1));
  ASSERT_EQ(watcher.messages[0].listeners_size(), 2);
  EXPECT_EQ(watcher.messages[0].listeners(0).closed_total(), 1);
  EXPECT_EQ(watcher.messages[0].listeners(1).status().state(),
            v1::LISTENER_STATE_CLOSED);
  ASSERT_TRUE(DeleteNow(*registry_, "b").ok());
  Advance(seconds(1));
  EXPECT_EQ(watcher.messages[0].listeners_size(), 0);
  ASSERT_EQ(watcher.messages[0].deleted_size(), 1);
  EXPECT_EQ(watcher.messages[0].deleted(0), "listeners/b");
}

TEST_F(StatsBoardTest, HistogramsAreToldOfWhatHasThem) {
  const auto look = [this] {
    const v1::Listener a = Create("a");
    testing::RawClient client = Connect(a);
    EXPECT_EQ(client.Send("hello"), "ok");
    EXPECT_EQ(client.Receive(), "hello");
    client.Close();
    EXPECT_TRUE(RunUntil([&] { return num_connections() == 0; }));
    Watcher watcher(*this, seconds(1));
    Advance(seconds(1));
    Close("a");
    EXPECT_TRUE(DeleteNow(*registry_, "a").ok());
    return watcher.messages.at(0);
  };
  v1::WatchStatsResponse told = look();
  EXPECT_FALSE(told.daemon().has_connection_duration());
  EXPECT_FALSE(told.listeners(0).has_connection_duration());
  registry_->CountInHistograms(HistogramScope::kDaemon);
  told = look();
  const v1::DaemonStats& daemon = told.daemon();
  EXPECT_EQ(daemon.connection_duration().counts_size(), 14);
  EXPECT_EQ(daemon.connect_latency().counts_size(), 11);
  EXPECT_EQ(daemon.connection_bytes().counts_size(), 9);
  EXPECT_EQ(daemon.connection_bytes().counts(0), 1);
  EXPECT_EQ(daemon.connection_bytes().sum(), 5);
  EXPECT_EQ(daemon.connection_sent_bytes().counts(0), 1);
  EXPECT_FALSE(told.listeners(0).has_connection_duration());
  EXPECT_FALSE(told.listeners(0).has_connection_sent_bytes());
  registry_->CountInHistograms(HistogramScope::kListener);
  told = look();
  EXPECT_EQ(told.daemon().connection_bytes().sum(), 5);
  const v1::ListenerStats& listener = told.listeners(0);
  EXPECT_EQ(listener.connection_duration().counts_size(), 14);
  EXPECT_EQ(listener.connect_latency().counts_size(), 11);
  EXPECT_EQ(listener.connect_latency().sum(), 0);
  EXPECT_EQ(listener.connection_bytes().counts_size(), 9);
  EXPECT_EQ(listener.connection_bytes().sum(), 5);
  EXPECT_EQ(listener.connection_sent_bytes().counts(0), 1);
  EXPECT_EQ(listener.connection_sent_bytes().sum(), 5);
  EXPECT_EQ(listener.closed_total(), 1);
}

TEST_F(StatsBoardTest, OneLookServesAllWhoAreDue) {
  Watcher a(*this, seconds(1));
  Watcher b(*this, seconds(1));
  Watcher c(*this, seconds(2));
  LetDueLook();
  EXPECT_EQ(asked_, 1);
  Advance(seconds(1));
  EXPECT_EQ(asked_, 2);
  EXPECT_EQ(a.looks, 2);
  EXPECT_EQ(b.looks, 2);
  EXPECT_EQ(c.looks, 1);
  Advance(seconds(1));
  EXPECT_EQ(asked_, 3);
  EXPECT_EQ(c.looks, 2);
}

TEST_F(StatsBoardTest, LooksAreAPauseApart) {
  Watcher a(*this, milliseconds(100));
  LetDueLook();
  Watcher b(*this, seconds(10));  // It is due at once.
  LetDueLook();
  EXPECT_EQ(b.looks, 0);
  Advance(StatsBoard::kPause - milliseconds(1));
  EXPECT_EQ(b.looks, 0);
  Advance(milliseconds(1));
  EXPECT_EQ(b.looks, 1);
  EXPECT_EQ(a.looks, 1);
}

TEST_F(StatsBoardTest, WhileNobodyWatchesNothingIsDue) {
  {
    Watcher watcher(*this, seconds(1));
    LetDueLook();
    EXPECT_NE(time().earliest(), TimePoint::max());
  }
  EXPECT_EQ(time().earliest(), TimePoint::max());
  Advance(seconds(10));
  EXPECT_EQ(asked_, 1);
}

TEST_F(StatsBoardTest, WhoComesDuringALookIsServedByTheNext) {
  holds_answers_ = true;
  Watcher first(*this, seconds(1));
  LetDueLook();
  ASSERT_EQ(held_.size(), 1u);
  Advance(milliseconds(10));
  Watcher second(*this, seconds(1));
  held_[0]();
  Settle();
  EXPECT_EQ(first.looks, 1);
  EXPECT_EQ(second.looks, 0);
  Advance(StatsBoard::kPause);
  ASSERT_EQ(held_.size(), 2u);
  held_[1]();
  Settle();
  EXPECT_EQ(second.looks, 1);
}

TEST_F(StatsBoardTest, WhoLeavesDuringALookIsNotCalled) {
  holds_answers_ = true;
  auto watcher = std::make_unique<Watcher>(*this, seconds(1));
  LetDueLook();
  watcher.reset();
  held_[0]();
  Settle();
  EXPECT_EQ(time().earliest(), TimePoint::max());
  // The next one begins anew, and is told all.
  Create("a");
  Watcher next(*this, seconds(1));
  Advance(StatsBoard::kPause);
  held_[1]();
  Settle();
  ASSERT_EQ(next.looks, 1);
  EXPECT_EQ(next.messages[0].listeners_size(), 1);
}

// Those who are told may end each other.
TEST_F(StatsBoardTest, WhoIsTakenAwayByAnotherIsNotCalled) {
  auto a = std::make_unique<Watcher>(*this, seconds(1));
  auto b = std::make_unique<Watcher>(*this, seconds(1));
  int looks = 0;
  a->then = [&] {
    ++looks;
    b.reset();
  };
  b->then = [&] {
    ++looks;
    a.reset();
  };
  LetDueLook();
  EXPECT_EQ(looks, 1);
}

// A step looks at 250 listeners, and whatever was posted runs between.
TEST_F(StatsBoardTest, ALookTakesAsManyStepsAsThereIsToLookAt) {
  constexpr int kListeners =
      3 * static_cast<int>(StatsBoard::kListenersPerStep);
  for (int i = 0; i < kListeners; ++i) {
    const std::string id = "l" + std::to_string(10'000 + i);
    v1::CreateListenerRequest request = Request(id);
    ASSERT_TRUE(TryCreate(request).ok());
  }
  Watcher watcher(*this, seconds(1));
  int steps = 0;
  std::function<void()> count = [&] {
    if (watcher.looks > 0) return;
    ++steps;
    asio::post(loop(), count);
  };
  time().Advance(Duration::zero());
  asio::post(loop(), count);
  Settle();
  EXPECT_EQ(watcher.looks, 1);
  EXPECT_EQ(steps, 3);  // Between three of them and that which tells.
  ASSERT_EQ(watcher.messages.size(), 1u);
  EXPECT_EQ(watcher.messages[0].listeners_size(), kListeners);
}

TEST_F(StatsBoardTest, EachWhoIsDueIsToldInAStepOfItsOwn) {
  Create("a");
  Watcher a(*this, seconds(1));
  Watcher b(*this, seconds(1));
  Watcher c(*this, seconds(1));
  std::string seen;
  std::function<void()> look = [&] {
    seen += std::to_string(a.looks + b.looks + c.looks);
    if (seen.back() != '3') asio::post(loop(), look);
  };
  time().Advance(Duration::zero());
  asio::post(loop(), look);
  Settle();
  EXPECT_EQ(seen.substr(seen.find('1')), "123");
  EXPECT_EQ(asked_, 1);
}

// Whoever comes while others are told of a look, is told of the next.
TEST_F(StatsBoardTest, WhoComesWhileOthersAreToldIsServedByTheNext) {
  Watcher a(*this, seconds(1));
  Watcher b(*this, seconds(1));
  std::unique_ptr<Watcher> late;
  a.then = [&] {
    if (late == nullptr) late = std::make_unique<Watcher>(*this, seconds(1));
  };
  b.then = a.then;
  LetDueLook();
  EXPECT_EQ(a.looks + b.looks, 2);
  EXPECT_EQ(late->looks, 0);
  Advance(StatsBoard::kPause);
  EXPECT_EQ(late->looks, 1);
  EXPECT_EQ(asked_, 2);
}

// What comes and goes between the steps is told right in the end.
TEST_F(StatsBoardTest, ListenersMayComeAndGoDuringALook) {
  constexpr int kListeners =
      static_cast<int>(StatsBoard::kListenersPerStep) + 1;
  for (int i = 0; i < kListeners; ++i) {
    Create("l" + std::to_string(10'000 + i));
  }
  Watcher watcher(*this, seconds(1));
  bool changed = false;
  std::function<void()> change = [&] {
    // The last one is gone before the step that would see it.
    const std::string last = "l" + std::to_string(10'000 + kListeners - 1);
    (void)registry_->Close(last, ExistingConnections::kLeave,
                           v1::WAIT_FOR_CLOSE_STARTED);
    Create("z-new");
    Create("a-new");  // Behind the look: the next one finds it.
    changed = true;
  };
  time().Advance(Duration::zero());
  // Behind the answer about the process, which begins the first step.
  asio::post(loop(), change);
  Settle();
  ASSERT_TRUE(changed);
  ASSERT_EQ(watcher.looks, 1);
  Advance(seconds(1));
  ASSERT_EQ(watcher.looks, 2);
  std::vector<std::string> names;
  for (const auto& listener : watcher.messages[0].listeners()) {
    names.push_back(listener.name());
  }
  EXPECT_NE(std::find(names.begin(), names.end(), "listeners/a-new"),
            names.end());
}

}  // namespace
}  // namespace portreeve::server
