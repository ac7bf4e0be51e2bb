// Streams of statistics and of events: what several of them share, and what a
// browser is told that comes back.
#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lib/base/time_source.h"
#include "portreeve/v1/event.pb.h"
#include "portreeve/v1/stats.pb.h"
#include "server/live/event_feed.h"
#include "server/live/stats_feed.h"
#include "tests/server/live/fake_browser.h"
#include "tests/server/live/live_fixture.h"

namespace portreeve::testing {
namespace {

using server::EventFeed;
using server::EventQuery;
using server::EventTexts;
using server::StatsFeed;
using server::StatsLooks;
using server::WatchFilter;
using std::chrono::seconds;

class FeedsTest : public LiveFixture {
 protected:
  using LiveFixture::LiveFixture;
  ~FeedsTest() override {
    for (const auto& browser : browsers_) browser->Leave();
    Settle();
  }

  FakeBrowser& Connect(std::shared_ptr<server::HttpFeed> feed) {
    browsers_.push_back(std::make_unique<FakeBrowser>());
    browsers_.back()->Connect(std::move(feed));
    return *browsers_.back();
  }
  FakeBrowser& WatchEvents(const WatchFilter& filter = {},
                           const std::optional<std::string>& last_id = {}) {
    return Connect(std::make_shared<EventFeed>(
        shared(texts_), EventQuery{.filter = filter, .last_id = last_id}));
  }
  FakeBrowser& WatchStats(const std::set<std::string>& names = {}) {
    return Connect(std::make_shared<StatsFeed>(link(), looks_, names));
  }
  // All read what there is, each part at the same time.
  void ReadAll() {
    std::vector<FakeBrowser*> have_read;
    do {
      Settle();
      have_read.clear();
      for (const auto& browser : browsers_) {
        if (browser->Read()) have_read.push_back(browser.get());
      }
      for (FakeBrowser* browser : have_read) browser->TellDrained();
    } while (!have_read.empty());
  }

  const std::shared_ptr<EventTexts> texts_ = std::make_shared<EventTexts>();
  const std::shared_ptr<StatsLooks> looks_ =
      std::make_shared<StatsLooks>(board());
  std::vector<std::unique_ptr<FakeBrowser>> browsers_;
};

// The same text, and not one that is equal.
void ExpectSame(const FakeBrowser& a, const FakeBrowser& b, size_t from = 0) {
  ASSERT_EQ(a.taken().size(), b.taken().size());
  for (size_t i = from; i < a.taken().size(); ++i) {
    EXPECT_EQ(a.taken()[i].get(), b.taken()[i].get()) << i;
  }
}

TEST_F(FeedsTest, AnEventIsMadeTextOnceForAllWithEqualFilters) {
  WatchFilter of_a;
  of_a.listeners = {"listeners/a"};
  std::vector<FakeBrowser*> all;
  for (int i = 0; i < 3; ++i) all.push_back(&WatchEvents());
  std::vector<FakeBrowser*> filtered;
  for (int i = 0; i < 3; ++i) filtered.push_back(&WatchEvents(of_a));
  ReadAll();
  const size_t before = all[0]->taken().size();
  EXPECT_EQ(texts_->num_made(), 0u);
  Append(1);
  Advance(server::WatchSchedule::kPause);
  ReadAll();
  EXPECT_EQ(texts_->num_made(), 2u);
  ASSERT_EQ(all[0]->taken().size(), before + 1);
  for (int i = 1; i < 3; ++i) {
    ExpectSame(*all[0], *all[i], before);
    ExpectSame(*filtered[0], *filtered[i], before);
  }
  EXPECT_NE(all[0]->taken().back(), filtered[0]->taken().back());
  EXPECT_EQ(*all[0]->taken().back(), *filtered[0]->taken().back());
}

TEST_F(FeedsTest, WhatTheyCatchUpWithIsMadeTextOnce) {
  // Several parts, of several messages.
  Append(100, 10'000);
  const std::string id = log().instance_id() + "/10";
  FakeBrowser& one = WatchEvents({}, id);
  FakeBrowser& other = WatchEvents({}, id);
  ReadAll();
  EXPECT_GT(one.taken().size(), 20u);
  ExpectSame(one, other);
  EXPECT_EQ(texts_->num_made(), one.taken().size());
  int64_t revision = 10;
  while (const auto frame = one.reader().Next()) {
    EXPECT_EQ(frame->id,
              log().instance_id() + "/" + std::to_string(++revision));
  }
  EXPECT_EQ(revision, 100);
}

TEST_F(FeedsTest, ALookIsMadeTextOnceForAllWhoWantTheSame) {
  for (int i = 0; i < 600; ++i) Create("a" + std::to_string(i));
  std::vector<FakeBrowser*> all;
  for (int i = 0; i < 3; ++i) all.push_back(&WatchStats());
  std::vector<FakeBrowser*> filtered;
  for (int i = 0; i < 2; ++i) {
    filtered.push_back(&WatchStats({"listeners/a1", "listeners/a2"}));
  }
  Advance(Duration::zero());
  ReadAll();
  EXPECT_GT(all[0]->taken().size(), 1u);
  EXPECT_EQ(filtered[0]->taken().size(), 1u);
  // A tick, with what has changed.
  Create("b");
  Advance(seconds(1));
  ReadAll();
  EXPECT_EQ(filtered[0]->taken().size(), 2u);
  for (int i = 1; i < 3; ++i) ExpectSame(*all[0], *all[i]);
  ExpectSame(*filtered[0], *filtered[1]);
  EXPECT_NE(all[0]->taken().back()->find("listeners/b"), std::string::npos);
}

class StatsFeedTest : public FeedsTest {
 protected:
  // Takes what a browser has read into what it knows, as the page does.
  void Take(FakeBrowser& browser) {
    while (const auto frame = browser.reader().Next()) {
      const auto stats = frame->As<v1::WatchStatsResponse>();
      for (const auto& listener : stats.listeners()) {
        known_.insert(listener.name());
      }
      for (const std::string& name : stats.deleted()) known_.erase(name);
    }
  }
  std::set<std::string> Existing() {
    return OnLoop([this] {
      std::set<std::string> names;
      for (const auto& listener : registry().listeners()) {
        names.insert("listeners/" + listener.first);
      }
      return names;
    });
  }

  std::set<std::string> known_;
};

TEST_F(StatsFeedTest, WhatComesAndGoesWhileALookIsTakenIsNotLost) {
  // Some steps' worth, all closed, so that each can be deleted.
  for (int i = 100; i < 900; ++i) {
    Create("m" + std::to_string(i));
    Close("m" + std::to_string(i));
  }
  FakeBrowser& browser = WatchStats();
  Advance(Duration::zero());
  ReadAll();
  Take(browser);
  EXPECT_EQ(known_, Existing());
  // Between the steps of one look, before and behind where it is; and the very
  // one with which a step has ended.
  constexpr int kMany = 10;
  const auto delete_at = [this](size_t position) {
    const std::string id =
        std::next(registry().listeners().begin(), position)->first;
    DeleteOnLoop(id);
  };
  int done = 0;
  std::function<void()> step = [&] {
    if (done == kMany) return;
    const std::string number = std::to_string(done);
    delete_at(2 * server::StatsBoard::kListenersPerStep - 1);
    delete_at(server::StatsBoard::kListenersPerStep - 1);
    CreateOnLoop("a" + number);
    CreateOnLoop("z" + number);
    ++done;
    asio::post(loop().context(), step);
  };
  const std::set<std::string> before = Existing();
  std::optional<Timer> at_the_look;
  OnLoop([&] {
    at_the_look.emplace(TimeSource::Of(loop().context()));
    at_the_look->StartAfter(seconds(1), step);
  });
  Advance(seconds(1));
  EXPECT_EQ(done, kMany);
  ReadAll();
  Take(browser);
  // The look may have been too early for the others.
  for (const std::string& name : Existing()) {
    if (before.contains(name)) EXPECT_TRUE(known_.contains(name)) << name;
  }
  Advance(seconds(1));
  ReadAll();
  Take(browser);
  EXPECT_EQ(known_, Existing());
}

class KeptEventsTest : public FeedsTest {
 protected:
  static constexpr int kKept = 10;
  KeptEventsTest() : FeedsTest(kKept) {}

  std::string IdOf(int64_t revision) {
    return log().instance_id() + "/" + std::to_string(revision);
  }
};

TEST_F(KeptEventsTest, WhoComesBackTooLateIsToldWhatItHasMissed) {
  Append(50);
  FakeBrowser& browser = WatchEvents({}, IdOf(2));
  ReadAll();
  const auto frame = browser.reader().Next();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->kind, "message");
  EXPECT_EQ(frame->id, IdOf(50 - kKept));
  const auto gap = frame->As<v1::Event>().gap();
  EXPECT_EQ(gap.first_revision(), 3);
  EXPECT_EQ(gap.last_revision(), 50 - kKept);
  EXPECT_EQ(gap.count(), 50 - kKept - 2);
  for (int64_t revision = 50 - kKept + 1; revision <= 50; ++revision) {
    const auto next = browser.reader().Next();
    ASSERT_TRUE(next);
    EXPECT_EQ(next->id, IdOf(revision));
    EXPECT_TRUE(next->As<v1::Event>().has_handler_error());
  }
  EXPECT_FALSE(browser.reader().Next());
  EXPECT_EQ(OnLoop([this] { return service().lost_total(); }), gap.count());
}

TEST_F(KeptEventsTest, WhoReadsTooSlowlyIsToldWhatItHasMissed) {
  Append(10, 20'000);
  FakeBrowser& browser = WatchEvents({}, IdOf(0));
  // The first part waits to be read; the rest has been taken from the log.
  Settle();
  Append(50);
  ReadAll();
  int64_t known = 0;
  int64_t missing = 0;
  while (const auto frame = browser.reader().Next()) {
    const auto event = frame->As<v1::Event>();
    const int64_t from =
        event.has_gap() ? event.gap().first_revision() : event.revision();
    EXPECT_EQ(from, known + 1);
    known = event.revision();
    missing += event.gap().count();
  }
  EXPECT_EQ(known, 60);
  EXPECT_EQ(missing, 40);
  EXPECT_EQ(OnLoop([this] { return service().lost_total(); }), missing);
}

TEST_F(KeptEventsTest, WhoComesBackToAnotherInstanceBeginsAnew) {
  Create("a");
  const int64_t now = OnLoop([this] { return log().last_revision(); });
  for (const std::string& id : {std::string("another/1"), IdOf(now + 1)}) {
    SCOPED_TRACE(id);
    FakeBrowser& browser = WatchEvents({}, id);
    ReadAll();
    const auto restart = browser.reader().Next();
    ASSERT_TRUE(restart);
    EXPECT_EQ(restart->kind, "restart");
    EXPECT_EQ(restart->id, "");
    EXPECT_NE(restart->data.find(id == "another/1" ? "INSTANCE_CHANGED"
                                                   : "REVISION_UNKNOWN"),
              std::string::npos);
    const auto listener = browser.reader().Next();
    ASSERT_TRUE(listener);
    EXPECT_EQ(listener->id, "");
    EXPECT_EQ(listener->As<v1::Event>().listener_created().listener().name(),
              "listeners/a");
    const auto done = browser.reader().Next();
    ASSERT_TRUE(done);
    EXPECT_EQ(done->id, IdOf(now));
    EXPECT_TRUE(done->As<v1::Event>().has_snapshot_done());
    EXPECT_FALSE(browser.reader().Next());
  }
  Append(1);
  Advance(server::WatchSchedule::kPause);
  ReadAll();
  for (const auto& browser : browsers_) {
    const auto event = browser->reader().Next();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->id, IdOf(now + 1));
  }
}

}  // namespace
}  // namespace portreeve::testing
