// Unary RPCs whose loop gets no memory, once, anywhere between the call and its
// answer.  The test is gRPC.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "portreeve/v1/listener.pb.h"
#include "server/api/errors.h"
#include "server/calls/grpc_status.h"
#include "server/calls/unary.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::server {
namespace {

using testing::GiveMemoryAgain;
using testing::GivenMemory;
using testing::RefuseMemoryAfter;

// What gRPC has of a call.
class FakeCall final : public grpc::ServerCallbackUnary {
 public:
  void Bind(grpc::ServerUnaryReactor* reactor) {
    reactor_ = reactor;
    BindReactor(reactor);
  }
  // gRPC lets go of it.
  void Done() { std::exchange(reactor_, nullptr)->OnDone(); }

  void Finish(grpc::Status s) override {
    const GivenMemory given;
    EXPECT_FALSE(status.has_value()) << "twice";
    status = std::move(s);
  }
  void SendInitialMetadata() override {}

  grpc::CallbackServerContext context;
  v1::Listener response;
  std::optional<grpc::Status> status;

 private:
  grpc::internal::ServerReactor* reactor() override { return reactor_; }
  void CallOnDone() override {}

  grpc::ServerUnaryReactor* reactor_ = nullptr;
};

class UnaryNoMemoryTest : public ::testing::Test {
 protected:
  UnaryNoMemoryTest() {
    SetLogSink([](const LogLine&) {});
  }
  ~UnaryNoMemoryTest() override { SetLogSink(nullptr); }

  void Settle() { testing::SettleWithoutMemory(loop_); }

  // Calls `begin` with two calls of one step of the loop, and `then`, in the
  // midst of which memory is refused.  Each has its answer: what `is_whole`
  // likes, or INTERNAL.
  void RefuseEverywhere(
      const std::function<grpc::ServerUnaryReactor*(FakeCall&)>& begin,
      const std::function<void()>& then,
      const std::function<bool(const FakeCall&)>& is_whole) {
    bool refused = true;
    int num_lost = 0;
    for (int given = 0; refused; ++given) {
      SCOPED_TRACE(given);
      ASSERT_LT(given, 1'000);
      FakeCall calls[2];
      for (FakeCall& call : calls) call.Bind(begin(call));
      RefuseMemoryAfter(given);
      Settle();
      try {
        then();
      } catch (const std::bad_alloc&) {
      }
      Settle();
      refused = GiveMemoryAgain();
      Settle();
      int num_whole = 0;
      for (FakeCall& call : calls) {
        ASSERT_TRUE(call.status.has_value());
        if (is_whole(call)) {
          ++num_whole;
        } else {
          EXPECT_EQ(call.status->error_code(), grpc::StatusCode::INTERNAL);
        }
      }
      EXPECT_GE(num_whole, refused ? 1 : 2);
      num_lost += 2 - num_whole;
      for (FakeCall& call : calls) call.Done();
      Settle();
      // Nothing of it counts any more.
      EXPECT_EQ(UnreadAnswers::Of(loop_).BytesOf(""), 0u);
    }
    EXPECT_GT(num_lost, 0);
  }

  // It is counted.
  static void MakeLarge(v1::Listener& listener) {
    listener.set_name(std::string(2 * UnreadAnswers::kSmallBytes, 'x'));
  }

  asio::io_context loop_{1};
};

TEST_F(UnaryNoMemoryTest, ACallThatIsAnsweredAtOnceHasItsAnswer) {
  RefuseEverywhere(
      [this](FakeCall& call) {
        auto work = [&call] {
          MakeLarge(call.response);
          return absl::OkStatus();
        };
        return AnswerOnLoop(loop_, &call.context, &call.response, work);
      },
      [] {}, [](const FakeCall& call) { return call.status->ok(); });
}

TEST_F(UnaryNoMemoryTest, ACallThatIsRefusedHasItsAnswer) {
  RefuseEverywhere(
      [this](FakeCall& call) {
        auto work = [] { return NotFound("listeners/it"); };
        return AnswerOnLoop(loop_, &call.context, &call.response, work);
      },
      [] {},
      [](const FakeCall& call) {
        return call.status->error_code() == grpc::StatusCode::NOT_FOUND &&
               !call.status->error_details().empty();
      });
}

TEST_F(UnaryNoMemoryTest, ACallThatWaitsHasItsAnswer) {
  const Executor executor(loop_.get_executor());
  // For all of them.
  std::optional<Ivar<>> until;
  until.emplace(executor);
  RefuseEverywhere(
      [&](FakeCall& call) -> grpc::ServerUnaryReactor* {
        if (until->determined()) until.emplace(executor);
        auto begin = [&]() -> absl::StatusOr<WaitReactor::Wait> {
          return WaitReactor::Wait{until->deferred(), [&] {
                                     MakeLarge(call.response);
                                     return absl::OkStatus();
                                   }};
        };
        return WaitReactor::Start(loop_, &call.context, &call.response, begin);
      },
      [&] { until->Fill(); },
      [](const FakeCall& call) { return call.status->ok(); });
}

TEST_F(UnaryNoMemoryTest, ACallThatWaitsInVainHasItsAnswer) {
  RefuseEverywhere(
      [this](FakeCall& call) -> grpc::ServerUnaryReactor* {
        auto begin = []() -> absl::StatusOr<WaitReactor::Wait> {
          return NotFound("listeners/it");
        };
        return WaitReactor::Start(loop_, &call.context, &call.response, begin);
      },
      [] {},
      [](const FakeCall& call) {
        return call.status->error_code() == grpc::StatusCode::NOT_FOUND;
      });
}

TEST(GrpcStatusNoMemoryTest, AnErrorIsWholeOrHasNoWords) {
  const absl::Status error = InvalidField("spec.labels", "too many of them");
  bool refused = true;
  int num_less = 0;
  for (int given = 0; refused; ++given) {
    ASSERT_LT(given, 1'000);
    RefuseMemoryAfter(given);
    const grpc::Status status = ToGrpcOrLess(error);
    refused = GiveMemoryAgain();
    if (status.error_code() == grpc::StatusCode::INTERNAL) {
      ++num_less;
      EXPECT_TRUE(refused);
    } else {
      EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
      EXPECT_FALSE(status.error_details().empty());
    }
  }
  EXPECT_GT(num_less, 0);
}

}  // namespace
}  // namespace portreeve::server
