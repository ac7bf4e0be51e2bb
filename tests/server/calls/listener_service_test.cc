#include "server/calls/listener_service.h"

#include <cerrno>
#include <chrono>
#include <future>
#include <thread>
#include <vector>

#include "tests/server/service_fixture.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

class ListenerServiceTest : public ServiceFixture {
 protected:
  grpc::Status TryCreate(const v1::CreateListenerRequest& request,
                         v1::Listener* listener) {
    grpc::ClientContext context;
    return listeners().CreateListener(&context, request, listener);
  }
  Refusal Refused(const v1::ListenerSpec& spec) {
    v1::CreateListenerRequest request;
    *request.mutable_spec() = spec;
    v1::Listener listener;
    return RefusalOf(TryCreate(request, &listener));
  }
  static int PortOf(const v1::Listener& listener) {
    return listener.status().listening_on().inet().port();
  }
};

TEST_F(ListenerServiceTest, CreatedListenerServes) {
  const v1::Listener listener = Create(EchoSpec());
  PlainClient client(PortOf(listener));
  client.Send("hello");
  EXPECT_EQ(client.Receive(), "hello");
  EXPECT_EQ(Get(listener.name()).status().num_connections(), 1);
}

TEST_F(ListenerServiceTest, AddressInUseSaysByWhomAndWhat) {
  const v1::Listener held = Create(EchoSpec());
  v1::ListenerSpec spec = EchoSpec();
  spec.mutable_where_to_listen()->mutable_inet()->set_port(PortOf(held));
  const Refusal ours = Refused(spec);
  EXPECT_EQ(ours.code, grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(ours.reason, "ADDRESS_IN_USE");
  EXPECT_EQ(ours.metadata.at("errno"), std::to_string(EADDRINUSE));
  EXPECT_EQ(ours.metadata.at("errno_name"), "EADDRINUSE");
  EXPECT_EQ(ours.metadata.at("address"),
            "tcp:127.0.0.1:" + std::to_string(PortOf(held)));
  EXPECT_EQ(ours.field, "");
}

TEST_F(ListenerServiceTest, UnixAddressInUse) {
  const TemporaryFolder folder;
  v1::ListenerSpec spec = EchoSpec();
  auto& file = *spec.mutable_where_to_listen()->mutable_unix_socket();
  file.set_path(folder.File("s"));
  const v1::Listener held = Create(spec);
  EXPECT_EQ(held.spec().where_to_listen().unix_socket().mode(), 0660);
  file.set_path(folder.path() + "/./s");  // The same file.
  const Refusal refusal = Refused(spec);
  EXPECT_EQ(refusal.code, grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(refusal.reason, "ADDRESS_IN_USE");
  Close(held.name());
  Create(spec);
}

TEST_F(ListenerServiceTest, ChosenIdsAreValidAndDiffer) {
  const v1::Listener a = Create(EchoSpec());
  const v1::Listener b = Create(EchoSpec());
  EXPECT_NE(a.name(), b.name());
  EXPECT_NE(a.uid(), b.uid());
  EXPECT_EQ(Get(a.name()).DebugString(), a.DebugString());
}

TEST_F(ListenerServiceTest, SimultaneousRequestsWithOneIdCreateOneListener) {
  v1::CreateListenerRequest request;
  *request.mutable_spec() = EchoSpec();
  request.set_request_id("same");
  std::vector<std::future<std::string>> answers;
  for (int i = 0; i < 10; ++i) {
    answers.push_back(std::async(std::launch::async, [&] {
      v1::Listener listener;
      EXPECT_EQ(Shown(TryCreate(request, &listener)), "OK");
      return listener.SerializeAsString();
    }));
  }
  const std::string first = answers[0].get();
  for (size_t i = 1; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].get(), first);
  }
  EXPECT_EQ(EventKinds(), std::vector<std::string>{"listener_created"});
  request.mutable_spec()->set_max_connections(1);
  v1::Listener listener;
  EXPECT_EQ(Shown(TryCreate(request, &listener)),
            "3 / REQUEST_ID_REUSED / request_id");
}

TEST_F(ListenerServiceTest, CloseAnswersWhenTheSocketIsClosed) {
  const v1::Listener listener = Create(EchoSpec());
  PlainClient client(PortOf(listener));
  client.Send("a");
  EXPECT_EQ(client.Receive(), "a");
  const v1::Listener closed = Close(listener.name());
  EXPECT_EQ(closed.status().state(), v1::LISTENER_STATE_CLOSED);
  EXPECT_EQ(closed.status().num_connections(), 1);
  client.Send("b");
  EXPECT_EQ(client.Receive(), "b");
  const v1::Listener reset =
      Close(listener.name(), v1::EXISTING_CONNECTIONS_RESET);
  EXPECT_EQ(reset.status().num_connections(), 0);
  EXPECT_EQ(reset.status().close_time().DebugString(),
            closed.status().close_time().DebugString());
  EXPECT_EQ(client.Receive(), "ECONNRESET");
}

TEST_F(ListenerServiceTest, CloseFinishedWaitsForSomeoneElse) {
  const std::string name = Create(EchoSpec()).name();
  std::vector<std::future<v1::Listener>> waiters;
  for (const v1::WaitFor wait_for :
       {v1::WAIT_FOR_UNSPECIFIED, v1::WAIT_FOR_CLOSE_STARTED,
        v1::WAIT_FOR_HANDLERS_DETERMINED}) {
    waiters.push_back(std::async(std::launch::async, [&, wait_for] {
      v1::CloseFinishedRequest request;
      request.set_name(name);
      request.set_wait_for(wait_for);
      grpc::ClientContext context;
      v1::CloseFinishedResponse response;
      EXPECT_EQ(Shown(listeners().CloseFinished(&context, request, &response)),
                "OK");
      return response.listener();
    }));
  }
  for (auto& waiter : waiters) {
    EXPECT_EQ(waiter.wait_for(std::chrono::milliseconds(50)),
              std::future_status::timeout);
  }
  Close(name);
  EXPECT_EQ(waiters[0].get().status().state(), v1::LISTENER_STATE_CLOSED);
  EXPECT_TRUE(waiters[1].get().status().is_closed());
  EXPECT_TRUE(waiters[2].get().status().handlers_determined());
}

TEST_F(ListenerServiceTest, DeadlineOfAWaitChangesNothing) {
  const std::string name = Create(EchoSpec()).name();
  const std::string before = State();
  for (int i = 0; i < 20; ++i) {
    v1::CloseFinishedRequest request;
    request.set_name(name);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::milliseconds(i));
    v1::CloseFinishedResponse response;
    const grpc::Status status =
        listeners().CloseFinished(&context, request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
    EXPECT_EQ(status.error_details(), "");
  }
  EXPECT_EQ(State(), before);
}

TEST_F(ListenerServiceTest, ACloserThatStopsWaitingUndoesNothing) {
  const v1::Listener listener = Create(EchoSpec());
  PlainClient client(PortOf(listener));
  client.Send("a");
  EXPECT_EQ(client.Receive(), "a");
  v1::CloseListenerRequest request;
  request.set_name(listener.name());
  request.set_wait_for(v1::WAIT_FOR_HANDLERS_DETERMINED);
  grpc::ClientContext context;
  v1::Listener response;
  auto call = std::async(std::launch::async, [&] {
    return listeners().CloseListener(&context, request, &response);
  });
  WaitUntil([&] { return Get(listener.name()).status().is_closed(); });
  context.TryCancel();
  EXPECT_EQ(call.get().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(Close(listener.name()).status().close_cause(),
            v1::CLOSE_CAUSE_CALLED);
  client.Close();
  const v1::Listener over =
      Close(listener.name(), v1::EXISTING_CONNECTIONS_LEAVE,
            v1::WAIT_FOR_HANDLERS_DETERMINED);
  EXPECT_TRUE(over.status().handlers_determined());
}

TEST_F(ListenerServiceTest, IsClosedAndDelete) {
  const std::string name = Create(EchoSpec(), "web").name();
  auto is_closed = [&] {
    v1::IsClosedRequest request;
    request.set_name(name);
    grpc::ClientContext context;
    v1::IsClosedResponse response;
    EXPECT_EQ(Shown(listeners().IsClosed(&context, request, &response)), "OK");
    return response.is_closed();
  };
  auto remove = [&] {
    v1::DeleteListenerRequest request;
    request.set_name(name);
    grpc::ClientContext context;
    google::protobuf::Empty response;
    return Shown(listeners().DeleteListener(&context, request, &response));
  };
  EXPECT_FALSE(is_closed());
  EXPECT_EQ(remove(), "9 / LISTENER_OPEN");
  Close(name);
  EXPECT_TRUE(is_closed());
  EXPECT_EQ(remove(), "OK");
  EXPECT_EQ(remove(), "5 / NOT_FOUND");
}

TEST_F(ListenerServiceTest, UpdateChangesWhatTheMaskNames) {
  const std::string name = Create(EchoSpec()).name();
  v1::UpdateListenerRequest request;
  request.mutable_listener()->set_name(name);
  auto& spec = *request.mutable_listener()->mutable_spec();
  spec.set_max_connections(3);
  spec.set_max_pending_connections(0);
  (*spec.mutable_labels())["a"] = "b";
  request.mutable_update_mask()->add_paths("spec.max_pending_connections");
  request.mutable_update_mask()->add_paths("spec.labels");
  grpc::ClientContext context;
  v1::Listener updated;
  EXPECT_EQ(Shown(listeners().UpdateListener(&context, request, &updated)),
            "OK");
  EXPECT_EQ(updated.spec().max_pending_connections(), 0);
  EXPECT_EQ(updated.status().effective_backlog(), 0);
  EXPECT_EQ(updated.spec().labels().at("a"), "b");
  EXPECT_NE(updated.spec().max_connections(), 3);
  EXPECT_EQ(EventKinds().back(), "listener_updated");
}

// Their answers are given by whatever thread comes first.
TEST_F(ListenerServiceTest, EveryOneOfManyCallsAtOnceGetsItsOwnAnswer) {
  constexpr int kCalls = 500;
  struct Call {
    grpc::ClientContext context;
    v1::CreateListenerRequest request;
    v1::Listener listener;
    std::promise<grpc::Status> status;
  };
  std::vector<Call> calls(kCalls);
  for (int i = 0; i < kCalls; ++i) {
    Call& call = calls[static_cast<size_t>(i)];
    *call.request.mutable_spec() = EchoSpec();
    call.request.set_listener_id("l" + std::to_string(i));
    call.request.set_validate_only(i % 2 == 0);
    if (i % 5 == 0) call.request.mutable_spec()->clear_handler();
    listeners().async()->CreateListener(
        &call.context, &call.request, &call.listener,
        [&call](grpc::Status status) { call.status.set_value(status); });
  }
  for (int i = 0; i < kCalls; ++i) {
    Call& call = calls[static_cast<size_t>(i)];
    const grpc::Status status = call.status.get_future().get();
    EXPECT_EQ(status.ok(), i % 5 != 0) << i;
    EXPECT_EQ(call.listener.name(),
              status.ok() ? "listeners/l" + std::to_string(i) : "");
    EXPECT_EQ(call.listener.has_status(), status.ok() && i % 2 != 0) << i;
  }
}

TEST_F(ListenerServiceTest, ShuttingDown) {
  OnLoop([this] { registry().BeginShutdown(); });
  const Refusal refusal = Refused(EchoSpec());
  EXPECT_EQ(refusal.code, grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(refusal.reason, "SHUTTING_DOWN");
}

}  // namespace
}  // namespace portreeve::testing
