// WorkerPool: turns, timeouts, workers that leave, verdicts.  No gRPC.
#include "server/remote/worker_pool.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "tests/testing/loop_fixture.h"

namespace portreeve::testing {
namespace {

using server::Claim;
using server::WorkerPool;
using std::chrono::seconds;

// Notes what it gets.
struct FakeWorker : server::Worker {
  void Offer(const v1::Connection& connection) override {
    offers.push_back(connection.name());
  }
  void AskForVerdict(const v1::HandleResponse::HandlerError& error) override {
    questions.push_back(error.id());
  }
  void Dismiss() override { ++dismissals; }
  std::vector<std::string> offers;
  std::vector<std::string> questions;
  int dismissals = 0;
};

class WorkerPoolTest : public LoopFixture {
 protected:
  // Offers connections/NAME; what became of it is in `taken`.
  struct Offered {
    std::shared_ptr<Claim> claim;
    std::optional<bool> taken;
  };
  std::shared_ptr<Offered> Offer(const std::string& name) {
    auto offered = std::make_shared<Offered>();
    offered->claim = std::make_shared<Claim>(executor());
    Start(RunOffer(offered, name));
    Settle();
    return offered;
  }

  std::shared_ptr<std::optional<bool>> Ask(int64_t first) {
    auto returned = std::make_shared<std::optional<bool>>();
    Start(RunAsk(returned, first));
    Settle();
    return returned;
  }

  absl::Status Give(const std::string& id, v1::HandlerVerdict verdict) {
    v1::HandleRequest::Verdict message;
    message.set_handler_error_id(id);
    message.set_verdict(verdict);
    const absl::Status status = pool_.Give(message);
    Settle();
    return status;
  }

  void Advance(Duration delay) {
    time().Advance(delay);
    Settle();
  }

  WorkerPool::WithoutWorkers without_workers_ =
      WorkerPool::WithoutWorkers::kRaise;
  int presence_changes_ = 0;
  WorkerPool pool_{executor(), "uid", [this] { ++presence_changes_; }};
  FakeWorker a_, b_, c_;

 private:
  Task<> RunOffer(std::shared_ptr<Offered> offered, std::string name) {
    auto describe = [name] {
      v1::Connection connection;
      connection.set_name(name);
      return connection;
    };
    offered->taken =
        co_await pool_.Offer(offered->claim, seconds(10), describe);
  }
  Task<> RunAsk(std::shared_ptr<std::optional<bool>> returned, int64_t first) {
    *returned = co_await pool_.AskForVerdict(first, "connections/a1", "oh",
                                             seconds(10), without_workers_);
  }
};

using Names = std::vector<std::string>;

TEST_F(WorkerPoolTest, OffersGoInTurns) {
  pool_.Join(a_);
  pool_.Join(b_);
  pool_.Join(c_);
  std::vector<std::shared_ptr<Offered>> offers;
  for (int i = 1; i <= 7; ++i) {
    offers.push_back(Offer(absl::StrCat(i)));
    ASSERT_TRUE(offers.back()->claim->Take());
  }
  Settle();
  EXPECT_EQ(a_.offers, (Names{"1", "4", "7"}));
  EXPECT_EQ(b_.offers, (Names{"2", "5"}));
  EXPECT_EQ(c_.offers, (Names{"3", "6"}));
  for (const auto& offer : offers) EXPECT_EQ(offer->taken, true);
}

TEST_F(WorkerPoolTest, AnOfferNotClaimedInTimeGoesToEachOtherOnce) {
  pool_.Join(a_);
  pool_.Join(b_);
  const auto offer = Offer("1");
  Advance(seconds(10) - std::chrono::nanoseconds(1));
  EXPECT_TRUE(b_.offers.empty());
  Advance(std::chrono::nanoseconds(1));
  EXPECT_EQ(b_.offers, Names{"1"});
  EXPECT_FALSE(offer->taken.has_value());
  Advance(seconds(10));
  EXPECT_EQ(offer->taken, false);
  EXPECT_EQ(a_.offers, Names{"1"});
}

TEST_F(WorkerPoolTest, AWorkerThatComesMeanwhileIsTried) {
  pool_.Join(a_);
  const auto offer = Offer("1");
  pool_.Join(b_);
  Advance(seconds(10));
  EXPECT_EQ(b_.offers, Names{"1"});
  // Taken by whomever.
  EXPECT_TRUE(offer->claim->Take());
  EXPECT_FALSE(offer->claim->Take());
  Settle();
  EXPECT_EQ(offer->taken, true);
}

TEST_F(WorkerPoolTest, WhatALeavingWorkerHadGoesToTheNextAtOnce) {
  const int64_t a = pool_.Join(a_);
  const int64_t b = pool_.Join(b_);
  const auto offer = Offer("1");
  EXPECT_EQ(offer->claim->offered_to, a);
  pool_.Leave(a);
  Settle();
  EXPECT_EQ(b_.offers, Names{"1"});
  EXPECT_EQ(offer->claim->offered_to, b);
  pool_.Leave(b);
  Settle();
  EXPECT_EQ(offer->taken, false);
}

TEST_F(WorkerPoolTest, AnOfferOfADismissedWorkerStandsUntilItsTimeIsUp) {
  pool_.Join(a_);
  pool_.Join(b_);
  const auto first = Offer("a1");
  const auto second = Offer("a2");
  pool_.DismissAll();
  Settle();
  EXPECT_EQ(a_.dismissals, 1);
  EXPECT_EQ(b_.dismissals, 1);
  EXPECT_FALSE(pool_.has_workers());
  EXPECT_EQ(presence_changes_, 2);
  EXPECT_EQ(first->taken, std::nullopt);
  first->claim->Take();
  Settle();
  EXPECT_EQ(first->taken, true);
  Advance(seconds(9));
  EXPECT_EQ(second->taken, std::nullopt);
  Advance(seconds(1));
  EXPECT_EQ(second->taken, false);
  EXPECT_EQ(a_.offers.size() + b_.offers.size(), 2u);
}

TEST_F(WorkerPoolTest, AQuestionToADismissedWorkerIsRaise) {
  const int64_t number = pool_.Join(a_);
  const auto returned = Ask(number);
  pool_.DismissAll();
  Settle();
  EXPECT_EQ(*returned, false);
  pool_.DismissAll();  // There is nobody.
  EXPECT_EQ(a_.dismissals, 1);
}

TEST_F(WorkerPoolTest, WithoutWorkersNothingIsTaken) {
  const auto offer = Offer("1");
  EXPECT_EQ(offer->taken, false);
}

TEST_F(WorkerPoolTest, PresenceIsToldOnceEachWay) {
  EXPECT_FALSE(pool_.has_workers());
  const int64_t a = pool_.Join(a_);
  const int64_t b = pool_.Join(b_);
  EXPECT_EQ(presence_changes_, 1);
  pool_.Leave(a);
  EXPECT_EQ(presence_changes_, 1);
  EXPECT_TRUE(pool_.has_workers());
  pool_.Leave(b);
  EXPECT_EQ(presence_changes_, 2);
  EXPECT_FALSE(pool_.has_workers());
}

TEST_F(WorkerPoolTest, TheWorkerThatHadTheOfferIsAskedAndAnswers) {
  pool_.Join(a_);
  const int64_t b = pool_.Join(b_);
  const auto first = Ask(b);
  ASSERT_EQ(b_.questions.size(), 1u);
  EXPECT_TRUE(a_.questions.empty());
  EXPECT_FALSE(first->has_value());
  EXPECT_TRUE(Give(b_.questions[0], v1::HANDLER_VERDICT_RETURN).ok());
  EXPECT_EQ(*first, true);
  const auto second = Ask(b);
  ASSERT_EQ(b_.questions.size(), 2u);
  EXPECT_NE(b_.questions[0], b_.questions[1]);
  EXPECT_TRUE(Give(b_.questions[1], v1::HANDLER_VERDICT_RAISE).ok());
  EXPECT_EQ(*second, false);
}

TEST_F(WorkerPoolTest, IfItIsGoneAnotherIsAskedWithinTheSameTime) {
  const int64_t a = pool_.Join(a_);
  pool_.Join(b_);
  const auto verdict = Ask(a);
  Advance(seconds(6));
  pool_.Leave(a);
  Settle();
  EXPECT_EQ(b_.questions, a_.questions);
  Advance(seconds(4) - std::chrono::nanoseconds(1));
  EXPECT_FALSE(verdict->has_value());
  Advance(std::chrono::nanoseconds(1));
  EXPECT_EQ(*verdict, false);
}

TEST_F(WorkerPoolTest, QuestionsGoOnFromThoseOfAnotherProcess) {
  EXPECT_EQ(pool_.last_question(), 0);
  pool_.SetLastQuestion(41);
  // They were asked there.
  for (const char* id : {"uid-1", "uid-41"}) {
    EXPECT_TRUE(Give(id, v1::HANDLER_VERDICT_RETURN).ok()) << id;
  }
  EXPECT_FALSE(Give("uid-42", v1::HANDLER_VERDICT_RETURN).ok());
  const auto verdict = Ask(pool_.Join(a_));
  ASSERT_EQ(a_.questions, Names{"uid-42"});
  EXPECT_EQ(pool_.last_question(), 42);
  EXPECT_TRUE(Give("uid-41", v1::HANDLER_VERDICT_RETURN).ok());
  Settle();
  EXPECT_FALSE(verdict->has_value());
  EXPECT_TRUE(Give("uid-42", v1::HANDLER_VERDICT_RETURN).ok());
  Settle();
  EXPECT_EQ(*verdict, true);
  EXPECT_DEATH(pool_.SetLastQuestion(43), "CHECK");
}

TEST_F(WorkerPoolTest, WithoutAWorkerItIsRaise) { EXPECT_EQ(*Ask(1), false); }

TEST_F(WorkerPoolTest, OrTheNextOneIsAwaitedWithinTheSameTime) {
  without_workers_ = WorkerPool::WithoutWorkers::kAwaitOne;
  const auto nobody = Ask(0);
  Advance(seconds(10) - std::chrono::nanoseconds(1));
  EXPECT_FALSE(nobody->has_value());
  Advance(std::chrono::nanoseconds(1));
  EXPECT_EQ(*nobody, false);
  const auto first = Ask(0);
  const auto second = Ask(0);
  Advance(seconds(6));
  pool_.Join(a_);
  Settle();
  ASSERT_EQ(a_.questions.size(), 2u);
  EXPECT_TRUE(Give(a_.questions[0], v1::HANDLER_VERDICT_RETURN).ok());
  EXPECT_EQ(*first, true);
  EXPECT_FALSE(second->has_value());
  Advance(seconds(4));
  EXPECT_EQ(*second, false);
  // One that is there is asked at once.
  (void)Ask(0);
  EXPECT_EQ(a_.questions.size(), 3u);
  Advance(seconds(10));
}

TEST_F(WorkerPoolTest, WhatMustNotBeGivenUpWaitsForTheNextOne) {
  bool over = false;
  const auto await = [&](std::shared_ptr<Claim> claim) -> Task<> {
    co_await pool_.AwaitOne(std::move(claim), seconds(10));
    over = true;
  };
  const auto claim = std::make_shared<Claim>(executor());
  Start(await(claim));
  Settle();
  Advance(seconds(10) - std::chrono::nanoseconds(1));
  EXPECT_FALSE(over);
  EXPECT_EQ(pool_.num_offered(), 1);
  Advance(std::chrono::nanoseconds(1));
  EXPECT_TRUE(std::exchange(over, false));
  EXPECT_EQ(pool_.num_offered(), 0);
  Start(await(claim));
  Settle();
  EXPECT_FALSE(over);
  const int64_t a = pool_.Join(a_);
  Settle();
  EXPECT_TRUE(std::exchange(over, false));
  // One that is there need not be awaited.
  Start(await(claim));
  Settle();
  EXPECT_TRUE(std::exchange(over, false));
  pool_.Leave(a);
  Start(await(claim));
  Settle();
  EXPECT_FALSE(over);
  EXPECT_TRUE(claim->Take());  // By a client that knows of it.
  Settle();
  EXPECT_TRUE(over);
}

TEST_F(WorkerPoolTest, ALateVerdictIsNoErrorAndAnUnknownIdIs) {
  const int64_t a = pool_.Join(a_);
  EXPECT_FALSE(Give("uid-1", v1::HANDLER_VERDICT_RETURN).ok());
  const auto verdict = Ask(a);
  Advance(seconds(10));
  EXPECT_EQ(*verdict, false);
  ASSERT_EQ(a_.questions, Names{"uid-1"});
  EXPECT_TRUE(Give("uid-1", v1::HANDLER_VERDICT_RETURN).ok());
  for (const char* id :
       {"", "uid-", "uid-0", "uid-2", "uid-01", "uid-+1", "other-1", "1"}) {
    const absl::Status status = Give(id, v1::HANDLER_VERDICT_RETURN);
    EXPECT_EQ(DetailOf(status).field, "verdict.handler_error_id") << id;
  }
  for (const int value : {0, 3, -1}) {
    const absl::Status status =
        Give("uid-1", static_cast<v1::HandlerVerdict>(value));
    EXPECT_EQ(DetailOf(status).field, "verdict.verdict") << value;
  }
}

// Bytes that are allocated; 0 where a sanitizer has an allocator of its own.
size_t HeapInUse() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// A late verdict has no effect, so nothing else tells of a question that is
// over.
TEST_F(WorkerPoolTest, AQuestionThatIsOverTakesNoMemory) {
  constexpr int kQuestions = 1000;
  const int64_t a = pool_.Join(a_);
  const auto ask_and_answer = [&] {
    const auto verdict = Ask(a);
    ASSERT_EQ(a_.questions.size(), 1u);
    EXPECT_TRUE(Give(a_.questions[0], v1::HANDLER_VERDICT_RETURN).ok());
    EXPECT_EQ(*verdict, true);
    a_.questions.clear();
  };
  ask_and_answer();  // Allocators keep what they were asked for once.
  const size_t before = HeapInUse();
  for (int i = 0; i < kQuestions; ++i) ask_and_answer();
  // Fewer than a byte for each.
  EXPECT_LT(HeapInUse(), before + kQuestions);
}

TEST_F(WorkerPoolTest, CancelledAtAnyWaitItLeavesNothing) {
  const int64_t a = pool_.Join(a_);
  const auto offer = Offer("1");
  const auto verdict = Ask(a);
  tasks().Cancel();
  Settle();
  EXPECT_FALSE(offer->taken.has_value());
  EXPECT_FALSE(verdict->has_value());
  EXPECT_TRUE(Give("uid-1", v1::HANDLER_VERDICT_RETURN).ok());
}

}  // namespace
}  // namespace portreeve::testing
