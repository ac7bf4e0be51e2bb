#include "lib/base/deferred.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/testing/loop_fixture.h"

namespace portreeve::testing {
namespace {

class DeferredTest : public LoopFixture {
 protected:
  // Appends what it got to `seen_`.
  Task<> Await(Deferred<int> deferred) {
    seen_.push_back(co_await deferred.Wait());
  }

  std::vector<int> seen_;
};

TEST_F(DeferredTest, IsWrittenOnce) {
  const Ivar<int> ivar(executor());
  EXPECT_FALSE(ivar.determined());
  EXPECT_TRUE(ivar.FillIfEmpty(1));
  EXPECT_FALSE(ivar.FillIfEmpty(2));
  EXPECT_TRUE(ivar.determined());
  EXPECT_EQ(ivar.deferred().value(), 1);
}

TEST_F(DeferredTest, WritingItTwiceEndsTheProcess) {
  const Ivar<> ivar(executor());
  ivar.Fill();
  EXPECT_DEATH(ivar.Fill(), "CHECK failed");
}

TEST_F(DeferredTest, ReadingItTooEarlyEndsTheProcess) {
  const Ivar<int> ivar(executor());
  EXPECT_DEATH(static_cast<void>(ivar.deferred().value()), "CHECK failed");
}

TEST_F(DeferredTest, IsAwaitedByManyBeforeAndAfter) {
  const Ivar<int> ivar(executor());
  Start(Await(ivar.deferred()));
  Start(Await(ivar.deferred()));
  Settle();
  EXPECT_TRUE(seen_.empty());
  ivar.Fill(5);
  EXPECT_TRUE(seen_.empty());  // In a later step.
  Settle();
  EXPECT_EQ(seen_, (std::vector<int>{5, 5}));
  Start(Await(ivar.deferred()));
  Settle();
  EXPECT_EQ(seen_, (std::vector<int>{5, 5, 5}));
}

TEST_F(DeferredTest, ADeterminedOneIsAlsoGivenInALaterStep) {
  const Ivar<int> ivar(executor());
  ivar.Fill(5);
  bool called = false;
  ivar.deferred().Wait([&](error_code, int) { called = true; });
  EXPECT_FALSE(called);
  Settle();
  EXPECT_TRUE(called);
}

TEST_F(DeferredTest, ResumesInTheOrderOfTheWaits) {
  const Ivar<> ivar(executor());
  std::string order;
  for (const char c : {'a', 'b', 'c'}) {
    ivar.deferred().Wait([&order, c](error_code) { order += c; });
  }
  ivar.Fill();
  ivar.deferred().Wait([&](error_code) { order += 'd'; });
  Settle();
  EXPECT_EQ(order, "abcd");
}

TEST_F(DeferredTest, HandlesOnTheSameValueAreEqual) {
  const Ivar<> ivar(executor());
  const Ivar<> other(executor());
  const Deferred<> copy = ivar.deferred();
  EXPECT_EQ(copy, ivar.deferred());
  EXPECT_FALSE(ivar.deferred() == other.deferred());
  ivar.Fill();
  EXPECT_TRUE(copy.determined());
  EXPECT_EQ(copy, ivar.deferred());
}

TEST_F(DeferredTest, TakesAFuture) {
  const Ivar<std::string> ivar(executor());
  std::future<std::string> future = ivar.deferred().Wait(asio::use_future);
  ivar.Fill("value");
  Settle();
  ASSERT_EQ(future.wait_for(std::chrono::seconds(0)),
            std::future_status::ready);
  EXPECT_EQ(future.get(), "value");
}

TEST_F(DeferredTest, TakesACallback) {
  const Ivar<int> ivar(executor());
  std::optional<int> seen;
  ivar.deferred().Wait([&](error_code ec, int value) {
    EXPECT_FALSE(ec);
    seen = value;
  });
  ivar.Fill(3);
  Settle();
  EXPECT_EQ(seen, 3);
}

TEST_F(DeferredTest, TakesATuple) {
  const Ivar<int> ivar(executor());
  ivar.Fill(3);
  auto task = [](Deferred<int> deferred) -> Task<int> {
    const auto [ec, value] = co_await deferred.Wait(kTuple);
    EXPECT_FALSE(ec);
    co_return value;
  };
  EXPECT_EQ(Run(task(ivar.deferred())), 3);
}

TEST_F(DeferredTest, UponGetsTheValueInALaterStep) {
  const Ivar<int> ivar(executor());
  std::vector<int> seen;
  ivar.deferred().Upon([&](int value) { seen.push_back(value); });
  ivar.Fill(3);
  ivar.deferred().Upon([&](int value) { seen.push_back(-value); });
  EXPECT_TRUE(seen.empty());
  Settle();
  EXPECT_EQ(seen, (std::vector<int>{3, -3}));
}

TEST_F(DeferredTest, UponIsDestroyedUncalledWithItsDeferred) {
  const auto owned = std::make_shared<int>();
  {
    const Ivar<> ivar(executor());
    ivar.deferred().Upon([owned] { FAIL(); });
    EXPECT_EQ(owned.use_count(), 2);
  }
  EXPECT_EQ(owned.use_count(), 1);
}

TEST_F(DeferredTest, CancellingOneWaitLeavesTheOthers) {
  const Ivar<> ivar(executor());
  asio::cancellation_signal signal;
  std::vector<error_code> seen;
  auto note = [&](error_code ec) { seen.push_back(ec); };
  ivar.deferred().Wait(note);
  ivar.deferred().Wait(asio::bind_cancellation_slot(signal.slot(), note));
  ivar.deferred().Wait(note);
  signal.emit(asio::cancellation_type::partial);
  Settle();
  EXPECT_EQ(seen, std::vector<error_code>{asio::error::operation_aborted});
  EXPECT_FALSE(ivar.determined());
  ivar.Fill();
  signal.emit(asio::cancellation_type::terminal);  // It finds nothing.
  Settle();
  EXPECT_EQ(seen, (std::vector<error_code>{asio::error::operation_aborted,
                                           error_code(), error_code()}));
}

TEST_F(DeferredTest, CancellingACoroutineLeavesTheValue) {
  const Ivar<int> ivar(executor());
  TaskScope scope(executor());
  scope.Spawn(Await(ivar.deferred()));
  Start(Await(ivar.deferred()));
  Settle();
  scope.Cancel();
  Settle();
  EXPECT_TRUE(scope.empty());
  EXPECT_FALSE(ivar.determined());
  ivar.Fill(1);
  Settle();
  EXPECT_EQ(seen_, std::vector<int>{1});
}

TEST_F(DeferredTest, ACancellationAfterTheFillComesTooLate) {
  const Ivar<> ivar(executor());
  asio::cancellation_signal signal;
  std::optional<error_code> seen;
  ivar.deferred().Wait(asio::bind_cancellation_slot(
      signal.slot(), [&](error_code ec) { seen = ec; }));
  ivar.Fill();
  signal.emit(asio::cancellation_type::terminal);
  Settle();
  EXPECT_EQ(seen, error_code());
}

TEST_F(DeferredTest, ACancellationAfterTheEndOfTheIvarFindsNothing) {
  asio::cancellation_signal signal;
  {
    const Ivar<> ivar(executor());
    ivar.deferred().Wait(asio::bind_cancellation_slot(
        signal.slot(), [](error_code) { FAIL(); }));
  }
  signal.emit(asio::cancellation_type::terminal);
  Settle();
}

}  // namespace
}  // namespace portreeve::testing
