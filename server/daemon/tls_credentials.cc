#include "server/daemon/tls_credentials.h"

#include <grpc/grpc.h>

#include <utility>

#include "lib/base/check.h"

namespace portreeve::server {

void TlsCredentials::SetAuthMetadataProcessor(
    const std::shared_ptr<grpc::AuthMetadataProcessor>&) {
  PORTREEVE_CHECK(false);
}

int TlsCredentials::AddPortToServer(const std::string& address,
                                    grpc_server* server) {
  // gRPC keeps what it has got for each port separately.
  ports_.push_back(std::make_unique<Port>(Port{*source_, nullptr}));
  auto* options =
      grpc_ssl_server_credentials_create_options_using_config_fetcher(
          GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, &Fetch,
          ports_.back().get());
  auto* credentials = grpc_ssl_server_credentials_create_with_options(options);
  const int port =
      grpc_server_add_http2_port(server, address.c_str(), credentials);
  grpc_server_credentials_release(credentials);
  return port;
}

grpc_ssl_certificate_config_reload_status TlsCredentials::Fetch(
    void* port, grpc_ssl_server_certificate_config** config) {
  auto& [source, in_use] = *static_cast<Port*>(port);
  auto latest = source.Latest();
  if (latest == in_use) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  const grpc_ssl_pem_key_cert_pair pair{latest->key.c_str(),
                                        latest->certificate.c_str()};
  *config = grpc_ssl_server_certificate_config_create(latest->client_ca.c_str(),
                                                      &pair, 1);
  in_use = std::move(latest);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

}  // namespace portreeve::server
