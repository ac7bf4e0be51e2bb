// ServiceFixture: the services over a real port, without the daemon.
#ifndef PORTREEVE_TESTS_SERVER_SERVICE_FIXTURE_H_
#define PORTREEVE_TESTS_SERVER_SERVICE_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/loop.h"
#include "lib/net/descriptor_budget.h"
#include "portreeve/v1/connection.grpc.pb.h"
#include "portreeve/v1/event.pb.h"
#include "portreeve/v1/handler.grpc.pb.h"
#include "portreeve/v1/listener.grpc.pb.h"
#include "server/access/audit_log.h"
#include "server/access/gate.h"
#include "server/access/policy.h"
#include "server/calls/connection_service.h"
#include "server/calls/handler_service.h"
#include "server/calls/listener_service.h"
#include "server/events/event_log.h"
#include "server/registry/registry.h"
#include "tests/server/plain_socket.h"
#include "tests/testing/test_lanes.h"

namespace portreeve::testing {

// A refusal: what is in the status and in its details.
struct Refusal {
  grpc::StatusCode code = grpc::StatusCode::OK;
  std::string reason;  // "" without an ErrorInfo.
  std::string field;   // "" without a BadRequest.
  std::map<std::string, std::string> metadata;
  std::string message;
};

// Fails the test where the details are not as the protos say.
Refusal RefusalOf(const grpc::Status& status);

// "CODE / REASON / FIELD", with codes as numbers; "OK".
std::string Shown(const grpc::Status& status);

// A spec that is accepted: an echo listener on a port of 127.0.0.1 that the OS
// chooses.
v1::ListenerSpec EchoSpec();

// The same with a remote handler.
v1::ListenerSpec RemoteSpec();

class ServiceFixture : public ::testing::Test {
 protected:
  // `audit` outlives it; null: nothing is audited.
  explicit ServiceFixture(server::AuditLog* audit = nullptr);
  ~ServiceFixture() override;

  v1::ListenerService::Stub& listeners() { return *listeners_; }
  v1::ConnectionService::Stub& connections() { return *connections_; }
  v1::HandlerService::Stub& handlers() { return *handlers_; }
  const std::shared_ptr<grpc::Channel>& channel() { return channel_; }
  // A channel to the same services that shares no connection, and whose windows
  // do not grow.
  std::shared_ptr<grpc::Channel> AnotherConnection();

  // Calls that fail the test where they are refused.
  v1::Listener Create(const v1::ListenerSpec& spec, const std::string& id = "");
  v1::Listener Get(const std::string& name);
  v1::Listener Close(
      const std::string& name,
      v1::ExistingConnections existing = v1::EXISTING_CONNECTIONS_LEAVE,
      v1::WaitFor wait_for = v1::WAIT_FOR_CLOSE_FINISHED);
  std::vector<v1::Connection> Connections(const std::string& listener = "");

  // On the loop; gives what `f` gives.
  template <typename F>
  auto OnLoop(F f) {
    return loop_.Run(std::move(f)).get();
  }
  server::Registry& registry() { return *registry_; }
  server::EventLog& events() { return events_; }
  DescriptorBudget& budget() { return budget_; }
  server::ConnectionService& connection_service() {
    return *connection_service_;
  }
  server::HandlerService& handler_service() { return *handler_service_; }

  // The events so far, and their kinds, as "listener_created".
  std::vector<v1::Event> Events();
  std::vector<std::string> EventKinds();

  // Waits for the first event, of those so far too, that `is_it`; fails the
  // test after a while.
  v1::Event AwaitEvent(const std::function<bool(const v1::Event&)>& is_it);
  // The same: the close of the connection of this name.
  v1::CloseReason AwaitClosed(const std::string& connection);

  // Asks until `condition` holds; fails the test after a while.
  void WaitUntil(const std::function<bool()>& condition);

  // All that can be seen of the state.
  std::string State();

 private:
  Loop loop_;
  std::mutex mutex_;
  std::condition_variable event_came_;
  int64_t num_events_ = 0;  // Guarded by mutex_.
  server::EventLog events_;
  std::optional<server::EventLog::Subscription> subscription_;
  const server::Policy policy_;
  server::Gate gate_;
  DescriptorBudget budget_{1000};
  std::optional<TestLanes> lanes_;
  std::unique_ptr<server::Registry> registry_;
  std::unique_ptr<server::ListenerService> listener_service_;
  std::unique_ptr<server::ConnectionService> connection_service_;
  std::unique_ptr<server::HandlerService> handler_service_;
  std::unique_ptr<grpc::Server> server_;
  std::string target_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ListenerService::Stub> listeners_;
  std::unique_ptr<v1::ConnectionService::Stub> connections_;
  std::unique_ptr<v1::HandlerService::Stub> handlers_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_SERVICE_FIXTURE_H_
