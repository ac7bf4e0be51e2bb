// Streams of statistics and of events where there is no memory, once or a few
// times, anywhere in them: one that does not tell all must end, so that the
// browser comes again; and what a browser has left goes.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "portreeve/v1/event.pb.h"
#include "portreeve/v1/stats.pb.h"
#include "server/live/event_feed.h"
#include "server/live/stats_feed.h"
#include "tests/server/live/fake_browser.h"
#include "tests/server/live/live_fixture.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::testing {
namespace {

using server::EventFeed;
using server::StatsFeed;
using server::StatsLooks;
using std::chrono::minutes;
using std::chrono::seconds;

// How many refusals there are in a row.
constexpr int kRefusals[] = {1, 2, 5};
constexpr int kEnough = 50'000;
// So many times, at first, each is refused.
constexpr int kFirst = 50;

// Behind the first ones, of so many times that memory may be refused one is:
// most of it is protobuf's, to which it is given, or like the others.
struct Strides {
  int loop = 1;
  int server = 1;
};

class FeedsNoMemoryTest : public LiveFixture {
 protected:
  FeedsNoMemoryTest() {
    Create("a");
    Create("b");
  }

  // Whose memory is refused, and when.
  enum class Whose { kLoop, kServer };
  struct Case {
    Whose whose = Whose::kLoop;
    int given = 0;
    int num_refusals = 0;
  };

  // Calls `step`, where the thread is refused memory `num_refusals` times after
  // it was given some `given` times; gives whether it was.
  bool WithoutMemory(Case refusal, const std::function<void()>& step) {
    const auto on_thread = [&](auto f) {
      return refusal.whose == Whose::kLoop ? OnLoop(f) : f();
    };
    on_thread([&] {
      RefuseMemoryAfter(refusal.given, refusal.num_refusals);
      return true;
    });
    step();
    Settle();
    return on_thread([] { return GiveMemoryAgain(); });
  }
  // Calls `one` with how many times memory is given, until it is not refused.
  static void ForEachRefusal(const std::function<bool(Case)>& one,
                             Strides strides = {}) {
    int num_refused = 0;
    for (const Whose whose : {Whose::kLoop, Whose::kServer}) {
      for (const int num_refusals : kRefusals) {
        Case refusal{whose, 0, num_refusals};
        while (refusal.given < kEnough && one(refusal)) {
          ASSERT_FALSE(HasFailure())
              << (whose == Whose::kLoop ? "the loop, " : "the server, ")
              << refusal.given << " given, " << num_refusals << " refused";
          const int stride =
              whose == Whose::kLoop ? strides.loop : strides.server;
          refusal.given += refusal.given < kFirst ? 1 : stride;
          ++num_refused;
        }
        EXPECT_LT(refusal.given, kEnough);
      }
    }
    EXPECT_GT(num_refused, 0);
  }
  // Reads for as long as something comes.
  void Read(FakeBrowser& browser) {
    bool read = true;
    while (read) {
      Settle();
      {
        const GivenMemory for_the_browser;
        read = browser.Read();
      }
      if (read) browser.TellDrained();
    }
  }
  // Does that with memory, and once what there was none for is tried again.
  void ReadAll(FakeBrowser& browser) {
    Read(browser);
    for (int i = 0; i < 2; ++i) {
      Advance(seconds(1));
      Read(browser);
    }
  }
  template <typename Feed>
  void Leave(FakeBrowser& browser, const std::weak_ptr<Feed>& feed) {
    browser.Leave();
    Settle();
    ExpectGone(feed);
  }
  template <typename Feed>
  void ExpectGone(const std::weak_ptr<Feed>& feed) {
    EXPECT_TRUE(feed.expired());
    EXPECT_EQ(OnLoop([&] { return service().num_watchers(); }), 0u);
    // Nobody is left who would be told of an event.
    EXPECT_EQ(OnLoop([&] { return log().num_subscribers(); }), 0u);
    EXPECT_EQ(num_escaped(), 0);
  }

  std::shared_ptr<EventFeed> Events(const std::string& last_id = "") {
    return std::make_shared<EventFeed>(
        shared(std::make_shared<server::EventTexts>()),
        server::EventQuery{.last_id = last_id});
  }
  std::shared_ptr<StatsFeed> Stats() {
    return std::make_shared<StatsFeed>(
        link(), std::make_shared<StatsLooks>(board()), std::set<std::string>());
  }
  template <typename Feed>
  static std::weak_ptr<Feed> Connect(FakeBrowser& browser,
                                     std::shared_ptr<Feed> feed) {
    const std::weak_ptr<Feed> weak = feed;
    browser.Connect(std::move(feed));
    return weak;
  }
};

// What a browser knows by the events that it has read.
class Known {
 public:
  // It has all up to `revision`.
  explicit Known(int64_t revision = 0) : revision_(revision) {}

  void Take(SseReader& reader) {
    while (const auto frame = reader.Next()) {
      if (frame->kind == "restart") {
        EXPECT_EQ(revision_, 0);
        was_told_ = true;
      } else {
        Take(*frame);
      }
    }
  }
  int64_t revision() const { return revision_; }
  bool was_told() const { return was_told_; }

 private:
  void Take(const SseReader::Frame& frame) {
    const auto event = frame.As<v1::Event>();
    if (frame.id.empty()) {
      in_snapshot_.insert(event.listener_created().listener().name());
      return;
    }
    if (event.has_snapshot_done()) {
      EXPECT_EQ(in_snapshot_.size(), 2u);
    } else {
      EXPECT_EQ(event.revision(), revision_ + 1);
    }
    revision_ = event.revision();
  }

  std::set<std::string> in_snapshot_;
  int64_t revision_ = 0;
  bool was_told_ = false;
};

class EventsNoMemoryTest : public FeedsNoMemoryTest {
 protected:
  // That the browser knows all, or comes again.
  void ExpectAllOrTheEnd(FakeBrowser& browser, Known& known) {
    ReadAll(browser);
    known.Take(browser.reader());
    if (browser.ended()) return;
    EXPECT_EQ(known.revision(), OnLoop([&] { return log().last_revision(); }));
  }
};

TEST_F(EventsNoMemoryTest, AStreamThatBegins) {
  // A new one, one that has much to catch up with, and one of another life.
  // A few parts.
  Append(10, 10'000);
  for (const std::string& id :
       {std::string(), log().instance_id() + "/3", std::string("me/3")}) {
    SCOPED_TRACE(id);
    ForEachRefusal(
        [&](Case refusal) {
          FakeBrowser browser;
          const bool resumes = id.ends_with("/3") && id != "me/3";
          Known known(resumes ? 3 : 0);
          std::weak_ptr<EventFeed> feed;
          auto made = Events(id);
          const bool refused = WithoutMemory(refusal, [&] {
            feed = Connect(browser, std::move(made));
            Read(browser);
          });
          ExpectAllOrTheEnd(browser, known);
          if (id == "me/3" && known.revision() > 0) {
            EXPECT_TRUE(known.was_told());
          }
          Leave(browser, feed);
          return refused;
        },
        {.server = 7});
  }
}

TEST_F(EventsNoMemoryTest, AnEvent) {
  ForEachRefusal([&](Case refusal) {
    FakeBrowser browser;
    Known known;
    const auto feed = Connect(browser, Events());
    Read(browser);
    const bool refused = WithoutMemory(refusal, [&] {
      for (int i = 0; i < 3; ++i) {
        Append(1);
        Advance(server::WatchSchedule::kPause);
      }
    });
    ExpectAllOrTheEnd(browser, known);
    Leave(browser, feed);
    return refused;
  });
}

TEST_F(EventsNoMemoryTest, WhoLeavesIsForgotten) {
  Append(30, 10'000);
  // When it has read all, and while it does not read.
  for (const bool reads : {true, false}) {
    ForEachRefusal([&](Case refusal) {
      FakeBrowser browser;
      const auto feed = Connect(browser, Events(log().instance_id() + "/3"));
      reads ? Read(browser) : Settle();
      const bool refused = WithoutMemory(refusal, [&] { browser.Leave(); });
      Append(1);
      Advance(seconds(1));
      Advance(minutes(1));
      ExpectGone(feed);
      return refused;
    });
  }
}

class StatsNoMemoryTest : public FeedsNoMemoryTest {
 protected:
  // The names that a browser has read of.
  void Take(FakeBrowser& browser) {
    while (const auto frame = browser.reader().Next()) {
      const auto stats = frame->As<v1::WatchStatsResponse>();
      for (const auto& listener : stats.listeners()) {
        names_.insert(listener.name());
      }
      for (const std::string& name : stats.deleted()) names_.erase(name);
    }
  }
  void ExpectAllOrTheEnd(FakeBrowser& browser) {
    ReadAll(browser);
    Take(browser);
    if (browser.ended()) return;
    EXPECT_EQ(names_.size(),
              OnLoop([&] { return registry().listeners().size(); }));
  }

  std::set<std::string> names_;
};

TEST_F(StatsNoMemoryTest, AStreamThatBegins) {
  ForEachRefusal([&](Case refusal) {
    names_.clear();
    FakeBrowser browser;
    std::weak_ptr<StatsFeed> feed;
    auto made = Stats();
    const bool refused = WithoutMemory(refusal, [&] {
      feed = Connect(browser, std::move(made));
      Advance(Duration::zero());
      Read(browser);
    });
    ExpectAllOrTheEnd(browser);
    Leave(browser, feed);
    return refused;
  });
}

TEST_F(StatsNoMemoryTest, AStreamOfManyParts) {
  for (int i = 0; i < 600; ++i) Create("many" + std::to_string(i));
  ForEachRefusal(
      [&](Case refusal) {
        names_.clear();
        FakeBrowser browser;
        auto made = Stats();
        std::weak_ptr<StatsFeed> feed;
        const bool refused = WithoutMemory(refusal, [&] {
          feed = Connect(browser, std::move(made));
          Advance(Duration::zero());
          Read(browser);
        });
        ExpectAllOrTheEnd(browser);
        Leave(browser, feed);
        return refused;
      },
      {.loop = 1'009, .server = 1'009});
}

TEST_F(StatsNoMemoryTest, ATick) {
  ForEachRefusal([&](Case refusal) {
    names_.clear();
    FakeBrowser browser;
    const auto feed = Connect(browser, Stats());
    ReadAll(browser);
    const std::string id = "x";
    Create(id);
    const bool refused = WithoutMemory(refusal, [&] {
      Advance(seconds(1));
      Read(browser);
      Advance(seconds(1));
    });
    ExpectAllOrTheEnd(browser);
    Leave(browser, feed);
    Close(id);
    OnLoop([&] { DeleteOnLoop(id); });
    return refused;
  });
}

TEST_F(StatsNoMemoryTest, WhoLeavesIsForgotten) {
  for (const bool reads : {true, false}) {
    ForEachRefusal([&](Case refusal) {
      FakeBrowser browser;
      const auto feed = Connect(browser, Stats());
      Advance(Duration::zero());
      if (reads) Read(browser);
      const bool refused = WithoutMemory(refusal, [&] { browser.Leave(); });
      Advance(seconds(1));
      Advance(minutes(1));
      ExpectGone(feed);
      return refused;
    });
  }
}

}  // namespace
}  // namespace portreeve::testing
