#include "client/channel.h"

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <cerrno>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace portreeve::client {
namespace {

// How long connecting to an address that does not answer may take.
constexpr int kConnectTimeoutMs = 10'000;
// When a connection without traffic is asked whether it lives, and how long the
// answer may take: a stream that waits learns of a daemon that has vanished.
constexpr int kKeepaliveTimeMs = 30'000;
constexpr int kKeepaliveTimeoutMs = 20'000;

// The text of a PEM file that holds a `kind`.
absl::StatusOr<std::string> ReadPem(const std::string& path,
                                    const std::string& kind) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  // A directory opens, but cannot be read; nothing to read is a failure too.
  if (!file || !(text << file.rdbuf())) {
    const std::string what = absl::StrCat("the file '", path, "'");
    if (errno == 0) return absl::InvalidArgumentError(what + " is empty");
    return absl::ErrnoToStatus(errno, what + " cannot be read");
  }
  // Keys are "PRIVATE KEY", "RSA PRIVATE KEY" and more.
  if (!absl::StrContains(text.str(), "-----BEGIN ") ||
      !absl::StrContains(text.str(), absl::StrCat(kind, "-----"))) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file '", path, "' holds no ", kind, " in PEM"));
  }
  return text.str();
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(
    const TlsOptions& tls) {
  if (tls.ca.empty()) {
    return absl::InvalidArgumentError("TLS needs the file of a CA");
  }
  if (tls.certificate.empty() != tls.key.empty()) {
    return absl::InvalidArgumentError(
        "a certificate and its key go together: one of the files is missing");
  }
  grpc::SslCredentialsOptions options;
  absl::StatusOr<std::string> ca = ReadPem(tls.ca, "CERTIFICATE");
  if (!ca.ok()) return ca.status();
  options.pem_root_certs = *std::move(ca);
  if (!tls.certificate.empty()) {
    absl::StatusOr<std::string> chain = ReadPem(tls.certificate, "CERTIFICATE");
    if (!chain.ok()) return chain.status();
    absl::StatusOr<std::string> key = ReadPem(tls.key, "PRIVATE KEY");
    if (!key.ok()) return key.status();
    options.pem_cert_chain = *std::move(chain);
    options.pem_private_key = *std::move(key);
  }
  return grpc::SslCredentials(options);
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> NewChannel(
    const std::string& target, const std::optional<TlsOptions>& tls) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  // Also where nobody says anything for long.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A page is as large as its labels are.
  arguments.SetMaxReceiveMessageSize(-1);
  std::shared_ptr<grpc::ChannelCredentials> credentials =
      grpc::InsecureChannelCredentials();
  if (tls) {
    auto secure = Credentials(*tls);
    if (!secure.ok()) return secure.status();
    credentials = *std::move(secure);
    if (!tls->server_name.empty()) {
      arguments.SetSslTargetNameOverride(tls->server_name);
    }
  }
  return grpc::CreateCustomChannel(target, credentials, arguments);
}

}  // namespace portreeve::client
