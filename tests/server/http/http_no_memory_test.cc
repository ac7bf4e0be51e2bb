// The port where it gets no memory, once or a few times, anywhere between a
// request and the end of its answer: a client has all, or is told by the end
// that it has not; and the next one is served.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "tests/server/http/http_fixture.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::testing {
namespace {

// How many refusals there are in a row.
constexpr int kRefusals[] = {1, 2, 5};
constexpr int kEnough = 2'000;

class HttpNoMemoryTest : public HttpFixture {
 protected:
  HttpNoMemoryTest() {
    more_pages_["/feed"] = [this](const server::HttpRequest&,
                                  const server::HttpDone& done) {
      feed_ = std::make_shared<NotingFeed>();
      server::HttpAnswer answer{200, ""};
      answer.feed = feed_;
      done(std::move(answer));
    };
    Serve();
  }

  // Calls `one`, with how many times memory is given, until it is not refused.
  void ForEachRefusal(const std::function<bool(int, int)>& one) {
    for (const int num_refusals : kRefusals) {
      int given = 0;
      while (given < kEnough && one(given, num_refusals) && !HasFailure()) {
        ++given;
        (void)TakeErrors();
        (void)TakeLog();
      }
      EXPECT_LT(given, kEnough);
      if (HasFailure()) {
        FAIL() << given << " given, " << num_refusals << " refused";
      }
      EXPECT_GT(given, 0);
    }
  }
  // All that has come, and "|END" after it where it has ended.
  static std::string All(RawClient& client) {
    std::string all;
    while (true) {
      const std::string some = client.Peek();
      if (some == "nothing") return all;
      if (some == "EOF" || some == "ECONNRESET") return all + "|END";
      all += some;
    }
  }
  void ExpectService() {
    EXPECT_EQ(Ask("GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: "
                  "close\r\n\r\n"),
              "200 hello close");
  }

  std::shared_ptr<NotingFeed> feed_;
};

TEST_F(HttpNoMemoryTest, AnAnswer) {
  ForEachRefusal([&](int given, int num_refusals) {
    RawClient client = Sent(Get("/hello"));
    const bool refused = SettleWithMemory(loop(), given, num_refusals);
    // Accepting is tried again, and an answer that does not come is given up.
    for (int i = 0; i < 2; ++i) {
      time().Advance(std::chrono::seconds(30));
      Settle();
    }
    const std::string all = All(client);
    EXPECT_TRUE(all.ends_with("\r\n\r\nhello\n") || all.ends_with("|END"))
        << all;
    client.Close();
    Settle();
    ExpectService();
    return refused;
  });
}

TEST_F(HttpNoMemoryTest, AStream) {
  ForEachRefusal([&](int given, int num_refusals) {
    RawClient client = Sent(Get("/feed"));
    feed_ = nullptr;
    RunUntil([&] { return feed_ != nullptr && feed_->sink != nullptr; });
    Settle();
    EXPECT_TRUE(All(client).ends_with("\r\n\r\n"));
    std::string wanted;
    RefuseMemoryAfter(given, num_refusals);
    for (const char* text : {"one ", "two ", "three"}) {
      if (feed_->sink == nullptr) break;
      std::shared_ptr<const std::string> piece;
      {
        const GivenMemory for_the_test;
        piece = std::make_shared<const std::string>(text);
        wanted += text;
      }
      // As feeds do it.
      try {
        feed_->sink->Put(std::move(piece));
      } catch (const std::bad_alloc&) {
        try {
          feed_->sink->End();
        } catch (const std::bad_alloc&) {
          // It goes to the monitor.
        }
      }
      SettleWithoutMemory(loop());
    }
    const bool refused = GiveMemoryAgain();
    time().Advance(std::chrono::seconds(15));
    Settle();
    time().Advance(std::chrono::seconds(15));
    Settle();
    std::string all = All(client);
    if (all.ends_with("|END")) {
      // Behind what is missing nothing came.
      EXPECT_EQ(wanted.rfind(all.substr(0, all.size() - 4), 0), 0u) << all;
      EXPECT_TRUE(feed_->stopped);
    } else {
      EXPECT_EQ(all.substr(0, all.find(':')), wanted);
    }
    client.Close();
    Settle();
    EXPECT_TRUE(feed_->stopped);
    ExpectService();
    return refused;
  });
}

}  // namespace
}  // namespace portreeve::testing
