// What is thrown by those whom a poller tells of something.
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lib/base/descriptor.h"
#include "lib/base/poller.h"
#include "lib/lane/lane.h"
#include "tests/testing/loop_fixture.h"

namespace portreeve {
namespace {

// Counts what it is told, and then does what the test wants.
class Counter final : public Poller::Watch {
 public:
  explicit Counter(std::function<void()> then = [] {})
      : then_(std::move(then)) {}
  int count() const { return count_; }

 private:
  void OnReady(uint32_t, int) override {
    ++count_;
    then_();
  }
  const std::function<void()> then_;
  int count_ = 0;
};

void Throw() { throw std::runtime_error("thrown"); }

class PollerErrorsTest : public testing::LoopFixture {
 protected:
  Poller& poller() { return Poller::Of(loop()); }

  // A descriptor that is ready at once, and told of once.
  Descriptor Ready(Counter& counter) {
    Descriptor fd(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
    EXPECT_EQ(poller().Add(fd.get(), EPOLLIN | EPOLLET, counter), 0);
    return fd;
  }

  // That `count` errors were logged, and nothing else.
  void ExpectErrors(size_t count) {
    EXPECT_EQ(TakeLog(), std::vector<std::string>(
                             count, "error: unhandled error: thrown"));
  }

  // That the poller still tells of what becomes ready.
  void ExpectSound() {
    Counter counter;
    const Descriptor fd = Ready(counter);
    Settle();
    EXPECT_EQ(counter.count(), 1);
    poller().Remove(counter);
  }
};

TEST_F(PollerErrorsTest, AllOthersOfTheRoundAreTold) {
  Counter first;
  Counter second(&Throw);
  Counter third(&Throw);
  Counter fourth;
  std::vector<Descriptor> fds;
  for (Counter* counter : {&first, &second, &third, &fourth}) {
    fds.push_back(Ready(*counter));
  }
  Settle();
  for (Counter* counter : {&first, &second, &third, &fourth}) {
    EXPECT_EQ(counter->count(), 1);
    poller().Remove(*counter);
  }
  ExpectErrors(2);
  ExpectSound();
}

TEST_F(PollerErrorsTest, ThoseWhoWantToBeCalledAgainAreCalled) {
  Counter first(&Throw);
  Counter second;
  std::vector<Descriptor> fds;
  fds.push_back(Ready(first));
  fds.push_back(Ready(second));
  poller().CallAgain(first);
  poller().CallAgain(second);
  poller().CallAfterRound(first);
  poller().CallAfterRound(second);
  Settle();
  EXPECT_EQ(first.count(), 3);
  EXPECT_EQ(second.count(), 3);
  poller().Remove(first);
  poller().Remove(second);
  ExpectErrors(3);
  ExpectSound();
}

TEST_F(PollerErrorsTest, WhoeverWatchesRoundsIsNoneOfTheOthersBusiness) {
  class Thrower final : public Poller::RoundWatch {
   public:
    void OnRoundBegin() override { Throw(); }
    void OnRoundEnd() override { Throw(); }
  };
  Thrower thrower;
  poller().SetRoundWatch(&thrower);
  Counter counter;
  const Descriptor fd = Ready(counter);
  Settle();
  EXPECT_EQ(counter.count(), 1);
  poller().SetRoundWatch(nullptr);
  poller().Remove(counter);
  // Two of the round in which it was told, and two of one that found nothing.
  ExpectErrors(4);
  ExpectSound();
}

TEST_F(PollerErrorsTest, AllMessagesOfOtherThreadsAreTaken) {
  Counter counter;
  const Descriptor fd = Ready(counter);
  int taken = 0;
  std::thread([&] {
    poller().mailbox().Send([] {}, &Throw);
    poller().mailbox().Send([] {}, [&taken] { ++taken; });
  }).join();
  Settle();
  EXPECT_EQ(taken, 1);
  EXPECT_EQ(counter.count(), 1);
  poller().Remove(counter);
  ExpectErrors(1);
  ExpectSound();
}

TEST_F(PollerErrorsTest, AllTimersThatAreDueAreCalled) {
  Timer first(time());
  Timer second(time());
  Timer third(time());
  int called = 0;
  first.StartAfter(std::chrono::seconds(1), &Throw);
  second.StartAfter(std::chrono::seconds(1), [&called] { ++called; });
  third.StartAfter(std::chrono::seconds(2), [&called] { ++called; });
  time().Advance(std::chrono::seconds(1));
  EXPECT_EQ(called, 1);
  time().Advance(std::chrono::seconds(1));
  EXPECT_EQ(called, 2);
  ExpectErrors(1);
}

TEST_F(PollerErrorsTest, AnOutboxTellsAllWhoseSocketsAreClosed) {
  class Closer final : public Outbox::Closer {
   public:
    explicit Closer(bool throws) : throws_(throws) {}
    int count = 0;

   private:
    void OnClosed() override {
      ++count;
      if (throws_) Throw();
    }
    const bool throws_;
  };
  for (const Outbox::Way way :
       {Outbox::Way::kTogether, Outbox::Way::kOneByOne}) {
    Outbox outbox(way);
    std::vector<std::shared_ptr<Closer>> closers;
    for (int round = 0; round < 2; ++round) {
      outbox.Begin();
      for (const bool throws : {false, true, false}) {
        closers.push_back(std::make_shared<Closer>(throws));
        outbox.Close(Descriptor(eventfd(0, EFD_CLOEXEC)), closers.back());
      }
      outbox.End();
      ExpectErrors(1);
    }
    for (const auto& closer : closers) EXPECT_EQ(closer->count, 1);
  }
}

}  // namespace
}  // namespace portreeve
