// TlsCredentials: mutual TLS for a gRPC server, with files that may change.
#ifndef PORTREEVE_SERVER_DAEMON_TLS_CREDENTIALS_H_
#define PORTREEVE_SERVER_DAEMON_TLS_CREDENTIALS_H_

#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/daemon/tls_source.h"

namespace portreeve::server {

// Every client must show a certificate from the CA.  Each handshake uses what
// the files hold then; connections from before go on.
// Lifetime: it must outlive the servers that it was given to, since gRPC asks
// it until they end.
class TlsCredentials : public grpc::ServerCredentials {
 public:
  // `source` is not null.
  explicit TlsCredentials(std::shared_ptr<TlsSource> source)
      : source_(std::move(source)) {}

  // Aborts, since it is not supported.
  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>&) override;

 private:
  // What one port of a server has got.
  // Threads: gRPC's, one at a time.
  struct Port {
    TlsSource& source;
    std::shared_ptr<const TlsContents> in_use;
  };

  int AddPortToServer(const std::string& address, grpc_server* server) override;
  // gRPC calls this at the start and at each handshake; `port` is a Port.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* port, grpc_ssl_server_certificate_config** config);

  const std::shared_ptr<TlsSource> source_;
  std::vector<std::unique_ptr<Port>> ports_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_TLS_CREDENTIALS_H_
