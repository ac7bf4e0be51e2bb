#include "lib/base/monitor.h"

#include <boost/asio/post.hpp>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/executor.h"
#include "lib/base/log.h"
#include "tests/testing/loop_fixture.h"

namespace portreeve::testing {
namespace {

std::exception_ptr Error(const char* text) {
  return std::make_exception_ptr(std::runtime_error(text));
}

class MonitorTest : public LoopFixture {
 protected:
  using Texts = std::vector<std::string>;

  Monitor::Handler Into(Texts& texts) {
    return [&texts](std::exception_ptr error) {
      texts.push_back(DescribeException(error));
    };
  }
};

TEST_F(MonitorTest, TheTopLevelLogs) {
  Monitor::TopLevel().Send(Error("lost"));
  EXPECT_EQ(TakeLog(), Texts{"error: unhandled error: lost"});
  EXPECT_EQ(Monitor(), Monitor::TopLevel());
}

TEST_F(MonitorTest, TheNearestHandlerGetsIt) {
  Texts outer_texts, inner_texts;
  const Monitor outer(Monitor::TopLevel(), "outer", Into(outer_texts));
  const Monitor inner(outer, "inner", Into(inner_texts));
  const Monitor plain(inner, "plain");
  plain.Send(Error("boom"));
  EXPECT_EQ(inner_texts, Texts{"boom"});
  EXPECT_TRUE(outer_texts.empty());
  EXPECT_EQ(plain.name(), "plain");
}

TEST_F(MonitorTest, WhatAHandlerThrowsGoesToTheParent) {
  Texts texts;
  const Monitor outer(Monitor::TopLevel(), "outer", Into(texts));
  const Monitor inner(outer, "inner", [](std::exception_ptr) {
    throw std::runtime_error("second");
  });
  inner.Send(Error("first"));
  EXPECT_EQ(texts, Texts{"second"});
}

// A handler is called though there is no memory to copy it.
TEST_F(MonitorTest, AHandlerIsNotCopiedToBeCalled) {
  struct Handler {
    Handler(const bool& f, Texts& t) : fails(f), texts(t) {}
    Handler(const Handler& other) : fails(other.fails), texts(other.texts) {
      if (fails) throw std::bad_alloc();
    }
    void operator()(std::exception_ptr error) const {
      texts.push_back(DescribeException(error));
    }
    const bool& fails;
    Texts& texts;
  };
  bool fails = false;
  Texts texts;
  const Monitor monitor(Monitor::TopLevel(), "full", Handler(fails, texts));
  fails = true;
  monitor.Send(Error("original"));
  EXPECT_EQ(texts, Texts{"original"});
}

TEST_F(MonitorTest, AHandlerOfTheRootsChildThatThrowsIsLogged) {
  const Monitor monitor(
      Monitor::TopLevel(), "thrower",
      [](std::exception_ptr error) { std::rethrow_exception(error); });
  monitor.Send(Error("boom"));
  EXPECT_EQ(TakeLog(), Texts{"error: unhandled error: boom"});
}

// Who reports an error does it where nothing may be thrown.
TEST_F(MonitorTest, NothingIsThrownWhereThereIsNoMemoryForTheReport) {
  const Monitor monitor(Monitor::TopLevel(), "short of memory",
                        [](std::exception_ptr) { throw std::bad_alloc(); });
  EXPECT_NO_THROW(monitor.Send(Error("first")));
  EXPECT_EQ(TakeLog(), Texts{"error: unhandled error: std::bad_alloc"});

  int num_lines = 0;
  SetLogSink([&num_lines](const LogLine&) {
    ++num_lines;
    throw std::bad_alloc();
  });
  EXPECT_NO_THROW(Monitor::TopLevel().Send(Error("third")));
  EXPECT_EQ(num_lines, 1);
  SetLogSink(nullptr);
}

TEST_F(MonitorTest, ADetachedOnePassesOn) {
  Texts outer_texts, inner_texts;
  const Monitor outer(Monitor::TopLevel(), "outer", Into(outer_texts));
  Monitor inner(outer, "inner", Into(inner_texts));
  const Monitor copy = inner;
  inner.Detach();
  copy.Send(Error("late"));
  EXPECT_TRUE(inner_texts.empty());
  EXPECT_EQ(outer_texts, Texts{"late"});
}

TEST_F(MonitorTest, AHandlerMayDetachItself) {
  std::optional<Monitor> monitor;
  Texts texts;
  monitor.emplace(Monitor::TopLevel(), "once",
                  [&monitor, note = Into(texts)](std::exception_ptr error) {
                    monitor->Detach();
                    note(error);
                  });
  monitor->Send(Error("first"));
  monitor->Send(Error("second"));
  EXPECT_EQ(texts, Texts{"first"});
  EXPECT_EQ(TakeLog(), Texts{"error: unhandled error: second"});
}

TEST_F(MonitorTest, CopiesAreEqual) {
  const Monitor a(Monitor::TopLevel(), "same name");
  const Monitor b(Monitor::TopLevel(), "same name");
  const Monitor copy = a;
  EXPECT_EQ(a, copy);
  EXPECT_FALSE(a == b);
}

TEST_F(MonitorTest, DescribesWhatIsNoStdException) {
  EXPECT_EQ(DescribeException(std::make_exception_ptr(7)),
            "an exception that is no std::exception");
}

// The current monitor follows a coroutine through its suspensions.
TEST_F(MonitorTest, IsThatOfTheExecutorOfACoroutine) {
  const Monitor mine(Monitor::TopLevel(), "mine");
  std::vector<Monitor> seen;
  auto inner = [&]() -> Task<> {
    const Executor executor = co_await asio::this_coro::executor;
    seen.push_back(executor.monitor());
    co_await asio::post(executor, kAwait);
  };
  auto outer = [&]() -> Task<> {
    co_await inner();
    const Executor executor = co_await asio::this_coro::executor;
    seen.push_back(executor.monitor());
  };
  tasks().SpawnOn(executor().With(mine), outer(), [](std::exception_ptr) {});
  Settle();
  EXPECT_EQ(seen, (std::vector<Monitor>{mine, mine}));
}

}  // namespace
}  // namespace portreeve::testing
