// A gRPC server that plays portreeved: it answers what a test told it to and
// notes what it was asked.
#ifndef PORTREEVE_TESTS_CLIENT_FAKE_DAEMON_H_
#define PORTREEVE_TESTS_CLIENT_FAKE_DAEMON_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "google/protobuf/empty.pb.h"
#include "portreeve/v1/connection.grpc.pb.h"
#include "portreeve/v1/daemon.grpc.pb.h"
#include "portreeve/v1/event.grpc.pb.h"
#include "portreeve/v1/handler.grpc.pb.h"
#include "portreeve/v1/listener.grpc.pb.h"
#include "portreeve/v1/stats.grpc.pb.h"

namespace portreeve::client {

// One RPC.  Without an answer it is UNIMPLEMENTED.
template <typename Request, typename Response>
class FakeMethod {
 public:
  using Answer = std::function<grpc::Status(const Request&, Response&)>;

  void set_answer(Answer answer) {
    std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }

  // In the order of arrival.
  std::vector<Request> requests() const {
    std::lock_guard lock(mutex_);
    return requests_;
  }

  grpc::Status Handle(const Request& request, Response& response) {
    Answer answer;
    {
      std::lock_guard lock(mutex_);
      requests_.push_back(request);
      answer = answer_;
    }
    if (answer == nullptr) return {grpc::StatusCode::UNIMPLEMENTED, "fake"};
    return answer(request, response);
  }

 private:
  mutable std::mutex mutex_;
  Answer answer_;
  std::vector<Request> requests_;
};

// A status with ErrorInfo and, where `fields` are given, BadRequest.
grpc::Status Refusal(grpc::StatusCode code, const std::string& message,
                     const std::string& reason,
                     const std::map<std::string, std::string>& metadata = {},
                     const std::map<std::string, std::string>& fields = {});

class FakeDaemon {
 public:
  using Events = grpc::ServerWriter<v1::WatchEventsResponse>;
  using Stats = grpc::ServerWriter<v1::WatchStatsResponse>;
  using Frames = grpc::ServerReaderWriter<v1::ServerFrame, v1::ClientFrame>;
  using Offers =
      grpc::ServerReaderWriter<v1::HandleResponse, v1::HandleRequest>;

  // Listens on a port that the OS chooses, or on `address` as gRPC takes it.
  explicit FakeDaemon(const std::string& address = "127.0.0.1:0");
  ~FakeDaemon();

  // "tcp:127.0.0.1:PORT".
  std::string address() const;

  FakeMethod<v1::CreateListenerRequest, v1::Listener> create_listener;
  FakeMethod<v1::GetListenerRequest, v1::Listener> get_listener;
  FakeMethod<v1::ListListenersRequest, v1::ListListenersResponse>
      list_listeners;
  FakeMethod<v1::UpdateListenerRequest, v1::Listener> update_listener;
  FakeMethod<v1::CloseListenerRequest, v1::Listener> close_listener;
  FakeMethod<v1::IsClosedRequest, v1::IsClosedResponse> is_closed;
  FakeMethod<v1::CloseFinishedRequest, v1::CloseFinishedResponse>
      close_finished;
  FakeMethod<v1::DeleteListenerRequest, google::protobuf::Empty>
      delete_listener;
  FakeMethod<v1::GetDaemonRequest, v1::Daemon> get_daemon;
  FakeMethod<v1::UpgradeDaemonRequest, v1::Daemon> upgrade_daemon;
  FakeMethod<v1::ListConnectionsRequest, v1::ListConnectionsResponse>
      list_connections;
  FakeMethod<v1::GetConnectionRequest, v1::Connection> get_connection;
  FakeMethod<v1::CloseConnectionRequest, v1::Connection> close_connection;
  // The answer runs for as long as the stream.
  FakeMethod<v1::WatchEventsRequest, Events> watch_events;
  FakeMethod<v1::WatchStatsRequest, Stats> watch_stats;
  // These are asked the first message; the answer runs for as long as the
  // stream.
  FakeMethod<v1::ClientFrame, Frames> attach;
  FakeMethod<v1::ClientFrame, Frames> dial;
  FakeMethod<v1::HandleRequest, Offers> handle;

  // How long the calls of Attach might take when they came, in their order.
  std::vector<std::chrono::nanoseconds> attach_timeouts() const {
    std::lock_guard lock(mutex_);
    return attach_timeouts_;
  }

 private:
  class Listeners;
  class Itself;
  class Connections;
  class EventStream;
  class StatsStream;
  class Handlers;

  const std::unique_ptr<Listeners> listeners_;
  const std::unique_ptr<Itself> itself_;
  const std::unique_ptr<Connections> connections_;
  const std::unique_ptr<EventStream> events_;
  const std::unique_ptr<StatsStream> stats_;
  const std::unique_ptr<Handlers> handlers_;
  mutable std::mutex mutex_;
  std::vector<std::chrono::nanoseconds> attach_timeouts_;  // By mutex_.
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace portreeve::client

#endif  // PORTREEVE_TESTS_CLIENT_FAKE_DAEMON_H_
