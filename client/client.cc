#include "client/client.h"

#include <grpcpp/channel.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "client/address.h"
#include "client/channel.h"
#include "client/grpc_call.h"
#include "client/repeat.h"
#include "portreeve/v1/connection.grpc.pb.h"
#include "portreeve/v1/daemon.grpc.pb.h"
#include "portreeve/v1/listener.grpc.pb.h"

namespace portreeve::client {
namespace {

// What a page may hold at most.
constexpr int kPageSize = 1000;

// How many pages in a row may hold nothing and lead on; more lead nowhere.
constexpr int kMostEmptyPages = 100;

// Calls `list`, which sends `request`, until there is no further page: all of
// them in one, or the first error.  A daemon whose pages lead back, or nowhere,
// is an error, too.
template <typename Response, typename Request, typename List, typename Items>
absl::StatusOr<Response> AllPages(Request& request, List list, Items items) {
  Response all;
  std::set<std::string> tokens;
  int num_empty = 0;
  for (;;) {
    absl::StatusOr<Response> page = list();
    if (!page.ok()) return page;
    // Takes over the token, the last page's being empty.
    request.set_page_token(page->next_page_token());
    page->clear_next_page_token();
    num_empty = items(*page) == 0 ? num_empty + 1 : 0;
    all.MergeFrom(*page);
    if (request.page_token().empty()) return all;
    if (num_empty > kMostEmptyPages ||
        !tokens.insert(request.page_token()).second) {
      return absl::InternalError(
          "the daemon's list has no end: its pages lead back to earlier ones, "
          "or hold nothing");
    }
  }
}

// One unary RPC, made once more as `repeat` says.
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Call(Stub& stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                           const Request&,
                                                           Response*),
                              const Request& request, Repeat repeat,
                              const CallOptions& options) {
  const auto once = [&](const CallOptions& left) -> absl::StatusOr<Response> {
    grpc::ClientContext context;
    const AppliedOptions applied(left, context);
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (!status.ok()) return FromGrpc(status);
    return response;
  };
  return Repeated(repeat, options, once);
}

template <typename Request>
Request Named(const std::string& name) {
  Request request;
  request.set_name(name);
  return request;
}

}  // namespace

struct Client::Impl {
  using ListenerStub = v1::ListenerService::Stub;
  using ConnectionStub = v1::ConnectionService::Stub;
  using DaemonStub = v1::DaemonService::Stub;

  explicit Impl(std::shared_ptr<grpc::Channel> to)
      : channel(std::move(to)),
        listeners(channel),
        connections(channel),
        daemon(channel) {}

  const std::shared_ptr<grpc::Channel> channel;
  ListenerStub listeners;
  ConnectionStub connections;
  DaemonStub daemon;
};

absl::StatusOr<Client> Client::ForAddress(
    const std::string& address, const std::optional<TlsOptions>& tls) {
  // One that was removed has no name: "/" must do.
  std::error_code ignored;
  const std::string directory = std::filesystem::current_path(ignored).string();
  absl::StatusOr<ServerAddress> server =
      ParseServerAddress(address, directory.empty() ? "/" : directory);
  if (!server.ok()) return server.status();
  auto channel = NewChannel(server->target, tls);
  if (!channel.ok()) return channel.status();
  return Client(std::make_unique<Impl>(*std::move(channel)));
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

absl::StatusOr<v1::Listener> Client::CreateListener(
    const v1::CreateListenerRequest& request, const CallOptions& options) {
  const Repeat repeat = request.request_id().empty() ? Repeat::kIfNothingWasDone
                                                     : Repeat::kIfItWasLost;
  return Call(impl_->listeners, &Impl::ListenerStub::CreateListener, request,
              repeat, options);
}

absl::StatusOr<v1::Listener> Client::GetListener(const std::string& name,
                                                 const CallOptions& options) {
  return Call(impl_->listeners, &Impl::ListenerStub::GetListener,
              Named<v1::GetListenerRequest>(name), Repeat::kIfItWasLost,
              options);
}

absl::StatusOr<v1::ListListenersResponse> Client::ListListeners(
    const v1::ListListenersRequest& request, const CallOptions& options) {
  return Call(impl_->listeners, &Impl::ListenerStub::ListListeners, request,
              Repeat::kIfItWasLost, options);
}

absl::StatusOr<v1::ListListenersResponse> Client::ListAllListeners(
    const CallOptions& options) {
  v1::ListListenersRequest request;
  request.set_page_size(kPageSize);
  return AllPages<v1::ListListenersResponse>(
      request, [&] { return ListListeners(request, options); },
      [](const auto& page) { return page.listeners_size(); });
}

absl::StatusOr<v1::Listener> Client::UpdateListener(
    const v1::UpdateListenerRequest& request, const CallOptions& options) {
  return Call(impl_->listeners, &Impl::ListenerStub::UpdateListener, request,
              Repeat::kIfNothingWasDone, options);
}

absl::StatusOr<v1::Listener> Client::CloseListener(
    const v1::CloseListenerRequest& request, const CallOptions& options) {
  return Call(impl_->listeners, &Impl::ListenerStub::CloseListener, request,
              Repeat::kIfItWasLost, options);
}

absl::StatusOr<bool> Client::IsClosed(const std::string& name,
                                      const CallOptions& options) {
  const auto response =
      Call(impl_->listeners, &Impl::ListenerStub::IsClosed,
           Named<v1::IsClosedRequest>(name), Repeat::kIfItWasLost, options);
  if (!response.ok()) return response.status();
  return response->is_closed();
}

absl::StatusOr<v1::Listener> Client::CloseFinished(
    const v1::CloseFinishedRequest& request, const CallOptions& options) {
  auto response = Call(impl_->listeners, &Impl::ListenerStub::CloseFinished,
                       request, Repeat::kIfItWasLost, options);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_listener());
}

absl::Status Client::DeleteListener(const std::string& name,
                                    const CallOptions& options) {
  return Call(impl_->listeners, &Impl::ListenerStub::DeleteListener,
              Named<v1::DeleteListenerRequest>(name), Repeat::kIfNothingWasDone,
              options)
      .status();
}

absl::StatusOr<v1::ListConnectionsResponse> Client::ListConnections(
    const v1::ListConnectionsRequest& request, const CallOptions& options) {
  return Call(impl_->connections, &Impl::ConnectionStub::ListConnections,
              request, Repeat::kIfItWasLost, options);
}

absl::StatusOr<v1::ListConnectionsResponse> Client::ListAllConnections(
    const std::string& listener, const CallOptions& options) {
  v1::ListConnectionsRequest request;
  request.set_listener(listener);
  request.set_page_size(kPageSize);
  return AllPages<v1::ListConnectionsResponse>(
      request, [&] { return ListConnections(request, options); },
      [](const auto& page) { return page.connections_size(); });
}

absl::StatusOr<v1::Daemon> Client::GetDaemon(const CallOptions& options) {
  return Call(impl_->daemon, &Impl::DaemonStub::GetDaemon,
              v1::GetDaemonRequest(), Repeat::kIfItWasLost, options);
}

absl::StatusOr<v1::Daemon> Client::UpgradeDaemon(
    const v1::UpgradeDaemonRequest& request, const CallOptions& options) {
  return Call(impl_->daemon, &Impl::DaemonStub::UpgradeDaemon, request,
              Repeat::kNever, options);
}

absl::StatusOr<v1::Connection> Client::GetConnection(
    const std::string& name, const CallOptions& options) {
  return GetConnection(Named<v1::GetConnectionRequest>(name), options);
}

absl::StatusOr<v1::Connection> Client::GetConnection(
    const v1::GetConnectionRequest& request, const CallOptions& options) {
  return Call(impl_->connections, &Impl::ConnectionStub::GetConnection, request,
              Repeat::kIfItWasLost, options);
}

absl::StatusOr<v1::Connection> Client::CloseConnection(
    const v1::CloseConnectionRequest& request, const CallOptions& options) {
  return Call(impl_->connections, &Impl::ConnectionStub::CloseConnection,
              request, Repeat::kIfItWasLost, options);
}

absl::StatusOr<Watch> Client::WatchEvents(const v1::WatchEventsRequest& request,
                                          const CallOptions& options) {
  return Repeated(Repeat::kIfItWasLost, options, [&](const CallOptions& left) {
    return Watch::Start(impl_->channel, request, left);
  });
}

absl::StatusOr<StatsWatch> Client::WatchStats(
    const v1::WatchStatsRequest& request, const CallOptions& options) {
  return Repeated(Repeat::kIfItWasLost, options, [&](const CallOptions& left) {
    return StatsWatch::Start(impl_->channel, request, left);
  });
}

absl::StatusOr<Stream> Client::Attach(const std::string& name,
                                      const CallOptions& options) {
  return Repeated(Repeat::kIfItWasLost, options, [&](const CallOptions& left) {
    return Stream::Attach(impl_->channel, name, left);
  });
}

absl::StatusOr<Stream> Client::AttachOffered(const std::string& name,
                                             const CallOptions& options) {
  return Stream::Attach(impl_->channel, name, options);
}

absl::StatusOr<Stream> Client::Dial(const v1::ClientFrame::Dial& dial,
                                    const CallOptions& options) {
  return Repeated(Repeat::kIfNothingWasDone, options,
                  [&](const CallOptions& left) {
                    return Stream::Dial(impl_->channel, dial, left);
                  });
}

absl::StatusOr<Worker> Client::Handle(const std::string& listener,
                                      const CallOptions& options) {
  v1::HandleRequest::Start start;
  start.set_listener(listener);
  return Handle(start, options);
}

absl::StatusOr<Worker> Client::Handle(const v1::HandleRequest::Start& start,
                                      const CallOptions& options) {
  return Repeated(Repeat::kIfItWasLost, options, [&](const CallOptions& left) {
    return Worker::Start(impl_->channel, start, left);
  });
}

}  // namespace portreeve::client
