// Attach: `raised`, and what the listener makes of it.
#include <string>
#include <vector>

#include "tests/server/remote_fixture.h"
#include "tests/testing/log_lines.h"

namespace portreeve::testing {
namespace {

class AttachErrorTest : public RemoteFixture {
 protected:
  void Create(v1::OnHandlerError on_handler_error) {
    v1::ListenerSpec spec = RemoteSpec();
    spec.set_on_handler_error(on_handler_error);
    CreateRemote(spec);
  }
  void CreateWithVerdicts(int claim_timeout_ms) {
    v1::ListenerSpec spec = RemoteSpec();
    spec.set_on_handler_error(v1::ON_HANDLER_ERROR_CALL);
    auto& timeout =
        *spec.mutable_handler()->mutable_remote()->mutable_claim_timeout();
    timeout.set_seconds(claim_timeout_ms / 1000);
    timeout.set_nanos(claim_timeout_ms % 1000 * 1'000'000);
    CreateRemote(spec);
  }

  // The client raises; the peer gets what was sent before, and a FIN.
  Served Raised() {
    Served served = Attached();
    served.call->SendData("last");
    served.call->Send(RaisedFrame("disk full"));
    EXPECT_EQ(served.peer->ReceiveAll(), "last|EOF");
    EXPECT_EQ(served.call->Rest(), "closed HANDLER_ERROR|OK");
    EXPECT_EQ(AwaitClosed(served.name), v1::CLOSE_REASON_HANDLER_ERROR);
    return served;
  }

  void ExpectHandlerError(const Served& served, v1::HandlerVerdict outcome) {
    const auto event = AwaitEvent([](const v1::Event& e) {
                         return e.has_handler_error();
                       }).handler_error();
    EXPECT_EQ(event.listener(), "listeners/remote");
    EXPECT_EQ(event.connection(), served.name);
    EXPECT_EQ(event.message(), "disk full");
    EXPECT_EQ(event.outcome(), outcome);
  }

  void ExpectListenerCloses() {
    AwaitEvent(
        [](const v1::Event& e) { return e.has_listener_close_finished(); });
    const v1::Listener listener = Get("listeners/remote");
    EXPECT_EQ(listener.status().state(), v1::LISTENER_STATE_CLOSED);
    EXPECT_EQ(listener.status().close_cause(), v1::CLOSE_CAUSE_HANDLER_ERROR);
    EXPECT_EQ(listener.status().handler_errors_total(), 1);
  }
};

TEST_F(AttachErrorTest, RaiseClosesTheListenerAndLeavesTheOthers) {
  Create(v1::ON_HANDLER_ERROR_RAISE);
  const LogLines log;
  const Served other = Attached();
  const Served raised = Raised();
  ExpectHandlerError(raised, v1::HANDLER_VERDICT_RAISE);
  ExpectListenerCloses();
  EXPECT_EQ(log.lines(),
            std::vector<std::string>{
                "error: listeners/remote " + raised.name +
                ": HANDLER_ERROR: disk full; the listener closes"});
  other.peer->Send("ping");
  EXPECT_EQ(other.call->ReadData(4), "ping");
  other.call->Send(DoneFrame());
  EXPECT_EQ(other.call->Rest(), "closed HANDLER_DONE|OK");
  EXPECT_EQ(worker().Rest(), "OK");
}

TEST_F(AttachErrorTest, IgnoreGoesOn) {
  Create(v1::ON_HANDLER_ERROR_IGNORE);
  const LogLines log;
  const Served served = Raised();
  ExpectHandlerError(served, v1::HANDLER_VERDICT_RETURN);
  // Who does not watch finds it there.
  EXPECT_EQ(log.lines(), std::vector<std::string>{
                             "warning: listeners/remote " + served.name +
                             ": HANDLER_ERROR: disk full"});
  EXPECT_EQ(Get("listeners/remote").status().handler_errors_total(), 1);
  ExpectStillServing();
}

TEST_F(AttachErrorTest, AMessageIsCutAtTheEndOfACharacter) {
  Create(v1::ON_HANDLER_ERROR_IGNORE);
  const auto told = [this](const std::string& raised) {
    Served served = Attached();
    served.call->Send(RaisedFrame(raised));
    EXPECT_EQ(served.call->Rest(), "closed HANDLER_ERROR|OK");
    return AwaitEvent([&](const v1::Event& e) {
             return e.has_handler_error() &&
                    e.handler_error().connection() == served.name;
           })
        .handler_error()
        .message();
  };
  const std::string euro = "\xe2\x82\xac";
  const std::string full(512, 'x');
  EXPECT_EQ(told(full), full);
  EXPECT_EQ(told(full + "y"), full);
  for (size_t cut = 0; cut < euro.size(); ++cut) {
    const std::string before(512 - cut, 'x');
    EXPECT_EQ(told(before + euro), before);
  }
  const std::string before(512 - euro.size(), 'x');
  EXPECT_EQ(told(before + euro), before + euro);
  EXPECT_EQ(told(std::string(250'000, 'x')), full);
}

TEST_F(AttachErrorTest, TheWorkersVerdictMayBeReturn) {
  CreateWithVerdicts(20'000);
  const Served served = Raised();
  const auto question = worker().ReadQuestion();
  EXPECT_EQ(question.connection(), served.name);
  EXPECT_EQ(question.message(), "disk full");
  EXPECT_TRUE(worker().Give(question.id(), v1::HANDLER_VERDICT_RETURN));
  ExpectHandlerError(served, v1::HANDLER_VERDICT_RETURN);
  ExpectStillServing();
}

TEST_F(AttachErrorTest, TheWorkersVerdictMayBeRaise) {
  CreateWithVerdicts(20'000);
  const Served served = Raised();
  const auto question = worker().ReadQuestion();
  EXPECT_TRUE(worker().Give(question.id(), v1::HANDLER_VERDICT_RAISE));
  ExpectHandlerError(served, v1::HANDLER_VERDICT_RAISE);
  ExpectListenerCloses();
  EXPECT_EQ(worker().Rest(), "OK");
}

TEST_F(AttachErrorTest, NoVerdictInTimeIsRaise) {
  CreateWithVerdicts(300);
  const Served served = Raised();
  const auto question = worker().ReadQuestion();
  ExpectHandlerError(served, v1::HANDLER_VERDICT_RAISE);
  ExpectListenerCloses();
  EXPECT_EQ(worker().Rest(), "OK");
}

TEST_F(AttachErrorTest, NoWorkerIsRaise) {
  CreateWithVerdicts(20'000);
  const Served served = Attached();
  LoseWorker();
  served.call->Send(RaisedFrame("disk full"));
  EXPECT_EQ(served.call->Rest(), "closed HANDLER_ERROR|OK");
  ExpectHandlerError(served, v1::HANDLER_VERDICT_RAISE);
  ExpectListenerCloses();
}

TEST_F(AttachErrorTest, AnotherWorkerIsAskedIfTheFirstIsGone) {
  CreateWithVerdicts(20'000);
  const Served served = Attached();
  WorkerCall other(handlers(), "listeners/remote");
  LoseWorker();
  served.call->Send(RaisedFrame("disk full"));
  const auto question = other.ReadQuestion();
  EXPECT_EQ(question.connection(), served.name);
  EXPECT_TRUE(other.Give(question.id(), v1::HANDLER_VERDICT_RETURN));
  ExpectHandlerError(served, v1::HANDLER_VERDICT_RETURN);
}

TEST_F(AttachErrorTest, AnotherWorkerIsAskedIfTheFirstLeavesWithoutAVerdict) {
  CreateWithVerdicts(20'000);
  const Served served = Attached();
  WorkerCall other(handlers(), "listeners/remote");
  served.call->Send(RaisedFrame("disk full"));
  const auto first = worker().ReadQuestion();
  LoseWorker();
  const auto second = other.ReadQuestion();
  EXPECT_EQ(second.id(), first.id());
  EXPECT_TRUE(other.Give(second.id(), v1::HANDLER_VERDICT_RETURN));
  ExpectHandlerError(served, v1::HANDLER_VERDICT_RETURN);
}

TEST_F(AttachErrorTest, AVerdictThatComesTwiceIsIgnored) {
  CreateWithVerdicts(20'000);
  const Served served = Raised();
  const auto question = worker().ReadQuestion();
  EXPECT_TRUE(worker().Give(question.id(), v1::HANDLER_VERDICT_RETURN));
  EXPECT_TRUE(worker().Give(question.id(), v1::HANDLER_VERDICT_RAISE));
  ExpectHandlerError(served, v1::HANDLER_VERDICT_RETURN);
  EXPECT_TRUE(worker().Give(question.id(), v1::HANDLER_VERDICT_RAISE));
  ExpectStillServing();
}

TEST_F(AttachErrorTest, AVerdictOnWhatWasNotAskedEndsTheCall) {
  CreateWithVerdicts(20'000);
  for (const std::string& id :
       {std::string(), std::string("1"), std::string(100'000, 'x')}) {
    WorkerCall call(handlers(), "listeners/remote");
    EXPECT_TRUE(call.Give(id, v1::HANDLER_VERDICT_RETURN));
    EXPECT_EQ(call.Rest(), "3 / INVALID_FIELD / verdict.handler_error_id");
  }
  ExpectStillServing();
}

TEST_F(AttachErrorTest, AVerdictThatIsNoneEndsTheCall) {
  CreateWithVerdicts(20'000);
  const Served served = Raised();
  const auto question = worker().ReadQuestion();
  EXPECT_TRUE(worker().Give(question.id(), v1::HANDLER_VERDICT_UNSPECIFIED));
  EXPECT_EQ(worker().Rest(), "3 / INVALID_FIELD / verdict.verdict");
  // It was the only one.
  ExpectHandlerError(served, v1::HANDLER_VERDICT_RAISE);
}

}  // namespace
}  // namespace portreeve::testing
