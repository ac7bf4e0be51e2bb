#include "tests/client/fake_daemon.h"

#include <chrono>
#include <cstdlib>
#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace portreeve::client {

using grpc::ServerContext;
using grpc::Status;

grpc::Status Refusal(grpc::StatusCode code, const std::string& message,
                     const std::string& reason,
                     const std::map<std::string, std::string>& metadata,
                     const std::map<std::string, std::string>& fields) {
  google::rpc::Status rich;
  rich.set_code(code);
  rich.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("portreeve");
  info.mutable_metadata()->insert(metadata.begin(), metadata.end());
  rich.add_details()->PackFrom(info);
  google::rpc::BadRequest bad;
  for (const auto& [field, description] : fields) {
    auto* violation = bad.add_field_violations();
    violation->set_field(field);
    violation->set_description(description);
  }
  if (!fields.empty()) rich.add_details()->PackFrom(bad);
  return {code, message, rich.SerializeAsString()};
}

namespace {

// Hands the stream to `method`, with the first message on it.
template <typename Request, typename Stream>
Status HandleStream(FakeMethod<Request, Stream>& method, Stream& stream) {
  Request first;
  if (!stream.Read(&first)) return Status::CANCELLED;
  return method.Handle(first, stream);
}

}  // namespace

class FakeDaemon::Listeners final : public v1::ListenerService::Service {
 public:
  explicit Listeners(FakeDaemon& daemon) : daemon_(daemon) {}

  Status CreateListener(ServerContext*,
                        const v1::CreateListenerRequest* request,
                        v1::Listener* response) override {
    return daemon_.create_listener.Handle(*request, *response);
  }
  Status GetListener(ServerContext*, const v1::GetListenerRequest* request,
                     v1::Listener* response) override {
    return daemon_.get_listener.Handle(*request, *response);
  }
  Status ListListeners(ServerContext*, const v1::ListListenersRequest* request,
                       v1::ListListenersResponse* response) override {
    return daemon_.list_listeners.Handle(*request, *response);
  }
  Status UpdateListener(ServerContext*,
                        const v1::UpdateListenerRequest* request,
                        v1::Listener* response) override {
    return daemon_.update_listener.Handle(*request, *response);
  }
  Status CloseListener(ServerContext*, const v1::CloseListenerRequest* request,
                       v1::Listener* response) override {
    return daemon_.close_listener.Handle(*request, *response);
  }
  Status IsClosed(ServerContext*, const v1::IsClosedRequest* request,
                  v1::IsClosedResponse* response) override {
    return daemon_.is_closed.Handle(*request, *response);
  }
  Status CloseFinished(ServerContext*, const v1::CloseFinishedRequest* request,
                       v1::CloseFinishedResponse* response) override {
    return daemon_.close_finished.Handle(*request, *response);
  }
  Status DeleteListener(ServerContext*,
                        const v1::DeleteListenerRequest* request,
                        google::protobuf::Empty* response) override {
    return daemon_.delete_listener.Handle(*request, *response);
  }

 private:
  FakeDaemon& daemon_;
};

class FakeDaemon::Itself final : public v1::DaemonService::Service {
 public:
  explicit Itself(FakeDaemon& daemon) : daemon_(daemon) {}

  Status GetDaemon(ServerContext*, const v1::GetDaemonRequest* request,
                   v1::Daemon* response) override {
    return daemon_.get_daemon.Handle(*request, *response);
  }
  Status UpgradeDaemon(ServerContext*, const v1::UpgradeDaemonRequest* request,
                       v1::Daemon* response) override {
    return daemon_.upgrade_daemon.Handle(*request, *response);
  }

 private:
  FakeDaemon& daemon_;
};

class FakeDaemon::Connections final : public v1::ConnectionService::Service {
 public:
  explicit Connections(FakeDaemon& daemon) : daemon_(daemon) {}

  Status ListConnections(ServerContext*,
                         const v1::ListConnectionsRequest* request,
                         v1::ListConnectionsResponse* response) override {
    return daemon_.list_connections.Handle(*request, *response);
  }
  Status GetConnection(ServerContext*, const v1::GetConnectionRequest* request,
                       v1::Connection* response) override {
    return daemon_.get_connection.Handle(*request, *response);
  }
  Status CloseConnection(ServerContext*,
                         const v1::CloseConnectionRequest* request,
                         v1::Connection* response) override {
    return daemon_.close_connection.Handle(*request, *response);
  }
  Status Attach(ServerContext* context, Frames* frames) override {
    {
      std::lock_guard lock(daemon_.mutex_);
      daemon_.attach_timeouts_.push_back(context->deadline() -
                                         std::chrono::system_clock::now());
    }
    return HandleStream(daemon_.attach, *frames);
  }
  Status Dial(ServerContext*, Frames* frames) override {
    return HandleStream(daemon_.dial, *frames);
  }

 private:
  FakeDaemon& daemon_;
};

class FakeDaemon::EventStream final : public v1::EventService::Service {
 public:
  explicit EventStream(FakeDaemon& daemon) : daemon_(daemon) {}

  Status WatchEvents(ServerContext*, const v1::WatchEventsRequest* request,
                     Events* writer) override {
    return daemon_.watch_events.Handle(*request, *writer);
  }

 private:
  FakeDaemon& daemon_;
};

class FakeDaemon::StatsStream final : public v1::StatsService::Service {
 public:
  explicit StatsStream(FakeDaemon& daemon) : daemon_(daemon) {}

  Status WatchStats(ServerContext*, const v1::WatchStatsRequest* request,
                    Stats* writer) override {
    return daemon_.watch_stats.Handle(*request, *writer);
  }

 private:
  FakeDaemon& daemon_;
};

class FakeDaemon::Handlers final : public v1::HandlerService::Service {
 public:
  explicit Handlers(FakeDaemon& daemon) : daemon_(daemon) {}

  Status Handle(ServerContext*, Offers* offers) override {
    return HandleStream(daemon_.handle, *offers);
  }

 private:
  FakeDaemon& daemon_;
};

FakeDaemon::FakeDaemon(const std::string& address)
    : listeners_(std::make_unique<Listeners>(*this)),
      itself_(std::make_unique<Itself>(*this)),
      connections_(std::make_unique<Connections>(*this)),
      events_(std::make_unique<EventStream>(*this)),
      stats_(std::make_unique<StatsStream>(*this)),
      handlers_(std::make_unique<Handlers>(*this)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
  builder.RegisterService(listeners_.get());
  builder.RegisterService(itself_.get());
  builder.RegisterService(connections_.get());
  builder.RegisterService(events_.get());
  builder.RegisterService(stats_.get());
  builder.RegisterService(handlers_.get());
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) std::abort();
}

FakeDaemon::~FakeDaemon() {
  // Cancels what is under way; answers that wait for a test have been released.
  server_->Shutdown(std::chrono::system_clock::now());
}

std::string FakeDaemon::address() const {
  return "tcp:127.0.0.1:" + std::to_string(port_);
}

}  // namespace portreeve::client
