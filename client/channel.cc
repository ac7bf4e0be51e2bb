#include "client/channel.h"

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <memory>
#include <string>

#include "client/tls_files.h"

namespace portreeve::client {
namespace {

// How long connecting to an address that does not answer may take.
constexpr int kConnectTimeoutMs = 10'000;
// How long after an attempt that failed the next may be made: calls until then
// fail at once.  Who tries again has a backoff of its own (client/retry.h),
// which this must not outlast.
constexpr int kReconnectMs = 100;
constexpr int kMostReconnectMs = 1'000;
// When a connection without traffic is asked whether it lives, and how long the
// answer may take: a stream that waits learns of a daemon that has vanished.
constexpr int kKeepaliveTimeMs = 30'000;
constexpr int kKeepaliveTimeoutMs = 20'000;

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> NewChannel(
    const std::string& target, const std::optional<TlsOptions>& tls) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMostReconnectMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  // Also where nobody says anything for long.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A page is as large as its labels are.
  arguments.SetMaxReceiveMessageSize(-1);
  std::shared_ptr<grpc::ChannelCredentials> credentials =
      grpc::InsecureChannelCredentials();
  if (tls) {
    const absl::StatusOr<TlsFiles> files = ReadTlsFiles(*tls);
    if (!files.ok()) return files.status();
    credentials = grpc::SslCredentials({.pem_root_certs = files->ca,
                                        .pem_private_key = files->key,
                                        .pem_cert_chain = files->certificate});
    if (!tls->server_name.empty()) {
      arguments.SetSslTargetNameOverride(tls->server_name);
    }
  }
  return grpc::CreateCustomChannel(target, credentials, arguments);
}

}  // namespace portreeve::client
