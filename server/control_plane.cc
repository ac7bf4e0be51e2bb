#include "server/control_plane.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <sys/stat.h>

#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace portreeve::server {
namespace {

// Files made meanwhile, gRPC's sockets, are their owner's only.
class ScopedUmask {
 public:
  ScopedUmask() : before_(umask(0177)) {}
  ~ScopedUmask() { umask(before_); }

 private:
  const mode_t before_;
};

// Before the first server is built, for the process.
void PrepareGrpc() {
  static const bool once = [] {
    // Never taken back: the end of the last server would end gRPC, which joins
    // a thread of its own that may sleep for 10 s, where a client did not read.
    grpc_init();
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  (void)once;
}

int Milliseconds(std::chrono::milliseconds time) {
  return static_cast<int>(time.count());
}

void SetChannelArguments(grpc::ServerBuilder& builder) {
  // gRPC would share a port with another daemon that does.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // What a stream that nobody reads may hold is fixed: no window grows with the
  // speed of the connection.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES,
                             ControlPlane::kStreamWindowBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE,
                             ControlPlane::kMaxHttp2FrameBytes);
  // A client that is gone without a word is noticed, also while it is silent.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS,
                             Milliseconds(ControlPlane::kKeepaliveTime));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             Milliseconds(ControlPlane::kKeepaliveTimeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // So is one that never says a word.
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                             Milliseconds(ControlPlane::kHandshakeTimeout));
  // Clients may ask the daemon for signs of life, too.
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
}

absl::Status OfControl(const absl::Status& error) {
  return absl::Status(error.code(),
                      absl::StrCat("--control: ", error.message()));
}

absl::Status NotBound(const std::vector<ControlEndpoint>& endpoints) {
  const auto append = [](std::string* out, const ControlEndpoint& endpoint) {
    out->append(endpoint.target());
  };
  return absl::UnavailableError(absl::StrCat(
      "gRPC cannot listen on ", absl::StrJoin(endpoints, ", ", append)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ControlPlane>> ControlPlane::Start(
    const std::vector<AnyAddress>& addresses,
    const std::vector<grpc::Service*>& services,
    const std::optional<TlsFiles>& tls) {
  std::shared_ptr<TlsCredentials> credentials;
  if (tls) {
    auto opened = TlsCredentials::Open(*tls);
    if (!opened.ok()) return opened.status();
    credentials = *std::move(opened);
  }
  std::vector<ControlEndpoint> endpoints;
  for (const AnyAddress& address : addresses) {
    auto endpoint = ControlEndpoint::Prepare(address);
    if (!endpoint.ok()) return OfControl(endpoint.status());
    endpoints.push_back(*std::move(endpoint));
  }
  std::unique_ptr<ControlPlane> plane(
      new ControlPlane(std::move(endpoints), std::move(credentials)));
  if (auto s = plane->Serve(services); !s.ok()) return OfControl(s);
  return plane;
}

absl::Status ControlPlane::Serve(const std::vector<grpc::Service*>& services) {
  PrepareGrpc();
  grpc::ServerBuilder builder;
  SetChannelArguments(builder);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  // The thread of reflection, which gRPC wakes that often for nothing.
  builder.SetSyncServerOption(
      grpc::ServerBuilder::SyncServerOption::CQ_TIMEOUT_MSEC,
      Milliseconds(std::chrono::hours(1)));
  const auto plain = grpc::InsecureServerCredentials();
  for (ControlEndpoint& endpoint : endpoints_) {
    const bool secure = tls_ != nullptr && !endpoint.is_unix();
    builder.AddListeningPort(endpoint.target(), secure ? tls_ : plain,
                             endpoint.selected_port());
  }
  for (grpc::Service* service : services) builder.RegisterService(service);
  {
    const ScopedUmask private_files;
    server_ = builder.BuildAndStart();
  }
  if (server_ == nullptr) return NotBound(endpoints_);
  for (ControlEndpoint& endpoint : endpoints_) {
    if (auto s = endpoint.Publish(); !s.ok()) return s;
  }
  return absl::OkStatus();
}

ControlPlane::~ControlPlane() { Stop(Duration::zero()); }

std::vector<AnyAddress> ControlPlane::addresses() const {
  std::vector<AnyAddress> addresses;
  for (const auto& endpoint : endpoints_) addresses.push_back(endpoint.bound());
  return addresses;
}

void ControlPlane::AnnounceShutdown() {
  server_->GetHealthCheckService()->SetServingStatus(false);
}

void ControlPlane::Stop(Duration patience) {
  // Out of the way first, for a daemon that takes over.
  for (ControlEndpoint& endpoint : endpoints_) endpoint.Remove();
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() +
                    std::chrono::ceil<std::chrono::microseconds>(patience));
  server_->Wait();
  server_.reset();
}

}  // namespace portreeve::server
