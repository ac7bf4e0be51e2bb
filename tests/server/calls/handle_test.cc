// Handle: workers of a listener, and how connections are offered to them.
#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/server/remote_fixture.h"

namespace portreeve::testing {
namespace {

class HandleTest : public RemoteFixture {
 protected:
  // Claims end after this long.
  static v1::ListenerSpec Spec(std::chrono::milliseconds claim_timeout) {
    v1::ListenerSpec spec = RemoteSpec();
    auto& timeout =
        *spec.mutable_handler()->mutable_remote()->mutable_claim_timeout();
    timeout.set_seconds(claim_timeout.count() / 1000);
    timeout.set_nanos(
        static_cast<int32_t>(claim_timeout.count() % 1000 * 1'000'000));
    return spec;
  }
  static constexpr std::chrono::milliseconds kSoon{200};

  int CreateWithoutWorker(const v1::ListenerSpec& spec = RemoteSpec()) {
    return PortOf(Create(spec, "remote"));
  }
  std::unique_ptr<WorkerCall> NewWorker() {
    return std::make_unique<WorkerCall>(handlers(), "listeners/remote");
  }
  std::string Refusal(const std::string& listener) {
    WorkerCall call(handlers(), listener);
    return call.Rest();
  }
  std::string RefusalOfFirst(const v1::HandleRequest& first) {
    WorkerCall call(handlers(), first);
    return call.Rest();
  }
};

TEST_F(HandleTest, TheDefaultClaimTimeoutIsTenSeconds) {
  const v1::Listener listener = Create(RemoteSpec());
  EXPECT_EQ(listener.spec().handler().remote().claim_timeout().seconds(), 10);
}

TEST_F(HandleTest, NothingIsAcceptedWithoutAWorker) {
  const int port = CreateWithoutWorker();
  PlainClient first(port);
  PlainClient second(port);
  first.Send("x");
  EXPECT_TRUE(Connections().empty());
  {
    const auto worker = NewWorker();
    EXPECT_NE(worker->ReadOffered(), worker->ReadOffered());
    EXPECT_EQ(Connections().size(), 2u);
  }
  // The last one has left: those that it was offered have nobody.
  EXPECT_EQ(first.Receive(), "ECONNRESET");
  EXPECT_EQ(second.Receive(), "ECONNRESET");
  PlainClient third(port);
  EXPECT_TRUE(Connections().empty());
  EXPECT_EQ(Get("listeners/remote").status().accepted_total(), 2);
  const auto worker = NewWorker();
  const std::string name = worker->ReadOffered();
  SocketCall call(connections(), name);
  call.SendData("late");
  third.Expect("late");
}

TEST_F(HandleTest, WithoutAWorkerConnectionsAreDroppedAllTheSame) {
  v1::ListenerSpec spec = RemoteSpec();
  spec.set_drop_incoming_connections(true);
  const int port = CreateWithoutWorker(spec);
  PlainClient dropped(port);
  EXPECT_EQ(dropped.Receive(), "EOF");
  const auto set_drop = [this](bool drop) {
    v1::UpdateListenerRequest request;
    request.mutable_listener()->set_name("listeners/remote");
    request.mutable_listener()->mutable_spec()->set_drop_incoming_connections(
        drop);
    request.mutable_update_mask()->add_paths("spec.drop_incoming_connections");
    grpc::ClientContext context;
    v1::Listener updated;
    EXPECT_EQ(Shown(listeners().UpdateListener(&context, request, &updated)),
              "OK");
  };
  set_drop(false);
  PlainClient waits(port);
  EXPECT_EQ(Get("listeners/remote").status().accepted_total(), 1);
  // Also one that waited already.
  set_drop(true);
  EXPECT_EQ(waits.Receive(), "EOF");
  EXPECT_EQ(Get("listeners/remote").status().dropped_total(), 2);
}

// A worker with a progress_interval.
v1::HandleRequest StartWithProgress(int64_t seconds, int32_t nanos = 0) {
  v1::HandleRequest first;
  first.mutable_start()->set_listener("listeners/remote");
  auto& interval = *first.mutable_start()->mutable_progress_interval();
  interval.set_seconds(seconds);
  interval.set_nanos(nanos);
  return first;
}

TEST_F(HandleTest, AWorkerThatAsksGetsASignOfLifeAfterEachSilence) {
  const int port = CreateWithoutWorker();
  WorkerCall worker(handlers(), StartWithProgress(1));
  for (int i = 0; i < 3; ++i) worker.ReadProgress();
  WorkerCall seldom(handlers(), StartWithProgress(3600));
  worker.Cancel();
  worker.Rest();
  PlainClient peer(port);
  seldom.ReadOffered();
}

TEST_F(HandleTest, ProgressIntervalHasLimits) {
  CreateWithoutWorker();
  const std::string refused = "3 / INVALID_FIELD / start.progress_interval";
  EXPECT_EQ(RefusalOfFirst(StartWithProgress(0)), refused);
  EXPECT_EQ(RefusalOfFirst(StartWithProgress(0, 999'999'999)), refused);
  EXPECT_EQ(RefusalOfFirst(StartWithProgress(3600, 1)), refused);
}

TEST_F(HandleTest, AnOfferTellsTheConnection) {
  CreateRemote();
  PlainClient peer(port());
  const v1::Connection connection = worker().ReadOffer();
  EXPECT_EQ(connection.listener(), "listeners/remote");
  EXPECT_EQ(connection.state(), v1::CONNECTION_STATE_UNCLAIMED);
  EXPECT_EQ(connection.local().inet().port(), port());
  EXPECT_EQ(connection.DebugString(), Connections().at(0).DebugString());
}

TEST_F(HandleTest, WorkersTakeTurns) {
  const int port = CreateWithoutWorker();
  std::vector<std::unique_ptr<WorkerCall>> workers;
  for (int i = 0; i < 3; ++i) workers.push_back(NewWorker());
  std::vector<std::unique_ptr<PlainClient>> peers;
  std::set<std::string> names;
  for (int i = 0; i < 9; ++i) {
    peers.push_back(std::make_unique<PlainClient>(port));
    names.insert(workers[static_cast<size_t>(i) % 3]->ReadOffered());
  }
  EXPECT_EQ(names.size(), 9u);
}

TEST_F(HandleTest, AnyClientMayTakeAnOffer) {
  CreateRemote();
  const auto other = NewWorker();
  const Served served = Attached();
  served.peer->Send("x");
  EXPECT_EQ(served.call->ReadData(1), "x");
}

TEST_F(HandleTest, WhatIsNotClaimedInTimeGoesToTheNextAndIsResetThen) {
  const int port = CreateWithoutWorker(Spec(kSoon));
  const auto first = NewWorker();
  const auto second = NewWorker();
  PlainClient peer(port);
  const std::string name = first->ReadOffered();
  EXPECT_EQ(second->ReadOffered(), name);
  EXPECT_EQ(peer.Receive(), "ECONNRESET");
  EXPECT_EQ(AwaitClosed(name), v1::CLOSE_REASON_UNCLAIMED);
  EXPECT_FALSE(HasEvent(v1::Event::kHandlerError));
  EXPECT_EQ(Get("listeners/remote").status().state(),
            v1::LISTENER_STATE_LISTENING);
  SocketCall late(connections(), name);
  EXPECT_EQ(late.Rest(), "5 / NOT_FOUND");
}

TEST_F(HandleTest, WhatTheFirstDidNotClaimTheNextMay) {
  const int port = CreateWithoutWorker(Spec(kSoon));
  const auto first = NewWorker();
  const auto second = NewWorker();
  PlainClient peer(port);
  first->ReadOffered();
  const std::string name = second->ReadOffered();
  SocketCall call(connections(), name);
  call.SendData("taken");
  peer.Expect("taken");
}

TEST_F(HandleTest, TheOffersOfAWorkerThatLeavesGoToTheNext) {
  const int port = CreateWithoutWorker();
  auto first = NewWorker();
  const auto second = NewWorker();
  PlainClient peer(port);
  const std::string name = first->ReadOffered();
  first.reset();
  EXPECT_EQ(second->ReadOffered(), name);
  SocketCall call(connections(), name);
  call.SendData("taken");
  peer.Expect("taken");
}

TEST_F(HandleTest, WhatAWorkerServesOutlivesItsCall) {
  CreateRemote();
  const Served served = Attached();
  LoseWorker();
  served.peer->Send("x");
  EXPECT_EQ(served.call->ReadData(1), "x");
  const auto worker = NewWorker();
  PlainClient peer(port());
  EXPECT_NE(worker->ReadOffered(), served.name);
}

TEST_F(HandleTest, AWorkerThatSendsNoMoreLeaves) {
  CreateRemote();
  const auto other = NewWorker();
  const Served served = Attached();
  const Served unclaimed = [&] {
    Served offered;
    offered.peer = std::make_unique<PlainClient>(port());
    offered.name = other->ReadOffered();
    return offered;
  }();
  other->EndSending();
  EXPECT_EQ(other->Rest(), "OK");
  // What it had not claimed goes on.
  EXPECT_EQ(worker().ReadOffered(), unclaimed.name);
  worker().EndSending();
  EXPECT_EQ(worker().Rest(), "OK");
  EXPECT_EQ(unclaimed.peer->Receive(), "ECONNRESET");
  // What is served already is served to its end.
  served.peer->Send("x");
  EXPECT_EQ(served.call->ReadData(1), "x");
  const PlainClient waits(port());
  EXPECT_EQ(Connections().size(), 1u);
}

TEST_F(HandleTest, AnotherHandlerEndsWithOk) {
  CreateRemote();
  const auto other = NewWorker();
  const Served served = Attached();
  const Served offered = [&] {
    Served next;
    next.peer = std::make_unique<PlainClient>(port());
    next.name = other->ReadOffered();
    return next;
  }();
  v1::UpdateListenerRequest request;
  request.mutable_listener()->set_name("listeners/remote");
  *request.mutable_listener()->mutable_spec() = EchoSpec();
  request.mutable_update_mask()->add_paths("spec.handler");
  grpc::ClientContext context;
  v1::Listener updated;
  ASSERT_EQ(Shown(listeners().UpdateListener(&context, request, &updated)),
            "OK");
  EXPECT_EQ(worker().Rest(), "OK");
  EXPECT_EQ(other->Rest(), "OK");
  EXPECT_EQ(Refusal("listeners/remote"), "9 / NOT_REMOTE");
  // What was offered before may still be claimed.
  SocketCall call(connections(), offered.name);
  call.ReadOpened();
  call.SendData("taken");
  offered.peer->Expect("taken");
  served.peer->Send("x");
  EXPECT_EQ(served.call->ReadData(1), "x");
  PlainClient echoed(port());
  echoed.Send("echo");
  echoed.Expect("echo");
}

TEST_F(HandleTest, AConnectionThatIsClosedUnclaimedIsNoError) {
  CreateRemote();
  const Served offered = Offered();
  v1::CloseConnectionRequest request;
  request.set_name(offered.name);
  grpc::ClientContext context;
  v1::Connection closed;
  EXPECT_EQ(Shown(connections().CloseConnection(&context, request, &closed)),
            "OK");
  EXPECT_EQ(closed.close_reason(), v1::CLOSE_REASON_CALLED);
  EXPECT_EQ(offered.peer->Receive(), "EOF");
  ExpectStillServing();
}

TEST_F(HandleTest, EndsWithOkAfterTheLastHandler) {
  CreateRemote();
  const auto other = NewWorker();
  const Served served = Attached();
  Close("listeners/remote");
  EXPECT_FALSE(Get("listeners/remote").status().handlers_determined());
  served.peer->Send("x");
  EXPECT_EQ(served.call->ReadData(1), "x");
  served.call->Send(DoneFrame());
  EXPECT_EQ(served.call->Rest(), "closed HANDLER_DONE|OK");
  EXPECT_EQ(worker().Rest(), "OK");
  EXPECT_EQ(other->Rest(), "OK");
  EXPECT_TRUE(Get("listeners/remote").status().handlers_determined());
}

TEST_F(HandleTest, WhatIsUnclaimedAtTheCloseMayStillBeClaimed) {
  CreateRemote();
  const Served offered = Offered();
  Close("listeners/remote");
  SocketCall call(connections(), offered.name);
  call.SendData("taken");
  offered.peer->Expect("taken");
  call.Send(DoneFrame());
  EXPECT_EQ(worker().Rest(), "OK");
}

TEST_F(HandleTest, TheListenerMustBeThereAndOpenAndRemote) {
  Create(EchoSpec(), "echo");
  Create(RemoteSpec(), "closed");
  Close("listeners/closed");
  EXPECT_EQ(Refusal("listeners/unknown"), "5 / NOT_FOUND");
  EXPECT_EQ(Refusal("listeners/closed"), "9 / LISTENER_CLOSED");
  EXPECT_EQ(Refusal("listeners/echo"), "9 / NOT_REMOTE");
  for (const std::string& name :
       {std::string(), std::string("remote"), std::string("listeners/"),
        std::string("connections/a1"), std::string(100'000, 'x')}) {
    EXPECT_EQ(Refusal(name), "3 / INVALID_FIELD / start.listener");
  }
}

TEST_F(HandleTest, TheFirstMessageMustBeStart) {
  EXPECT_EQ(RefusalOfFirst({}), "3 / INVALID_FIELD / start");
  v1::HandleRequest verdict;
  verdict.mutable_verdict()->set_handler_error_id("1");
  EXPECT_EQ(RefusalOfFirst(verdict), "3 / INVALID_FIELD / start");
  v1::HandleRequest broken;
  broken.mutable_start()->set_listener("\xff");  // Not UTF-8.
  EXPECT_EQ(RefusalOfFirst(broken), "3 / INVALID_FIELD");
}

TEST_F(HandleTest, ALaterMessageMustBeAVerdict) {
  CreateRemote();
  v1::HandleRequest start;
  start.mutable_start()->set_listener("listeners/remote");
  v1::HandleRequest broken;
  broken.mutable_verdict()->set_handler_error_id("\xff");  // Not UTF-8.
  const std::vector<std::pair<v1::HandleRequest, std::string>> cases = {
      {start, "3 / INVALID_FIELD / start"},
      {{}, "3 / INVALID_FIELD"},
      {broken, "3 / INVALID_FIELD"},
  };
  for (const auto& [request, status] : cases) {
    const auto call = NewWorker();
    EXPECT_TRUE(call->Send(request));
    EXPECT_EQ(call->Rest(), status);
  }
  ExpectStillServing();
}

// Offers wait for a worker that does not read; the others get theirs.
TEST_F(HandleTest, AWorkerThatDoesNotReadHoldsUpNobody) {
  const int port = CreateWithoutWorker();
  const auto silent = NewWorker();
  const auto lively = NewWorker();
  std::vector<std::unique_ptr<PlainClient>> peers;
  std::set<std::string> names;
  for (int i = 0; i < 200; ++i) {
    peers.push_back(std::make_unique<PlainClient>(port));
    if (i % 2 == 1) names.insert(lively->ReadOffered());
  }
  for (int i = 0; i < 100; ++i) names.insert(silent->ReadOffered());
  EXPECT_EQ(names.size(), 200u);
}

}  // namespace
}  // namespace portreeve::testing
