// TlsContext: what a server's handshakes of mutual TLS are made with.
#ifndef PORTREEVE_SERVER_HTTP_TLS_CONTEXT_H_
#define PORTREEVE_SERVER_HTTP_TLS_CONTEXT_H_

#include <openssl/x509.h>

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/asio.h"

namespace portreeve::server {

// Every client must show a certificate from the CA; no session is resumed, so
// that each handshake asks for it.
class TlsContext {
 public:
  // PEM: the server's certificate, with those between it and its CA behind it;
  // its key; and the CAs of clients.
  struct Pem {
    std::string certificate;
    std::string key;
    std::string client_ca;
  };

  // Errors: INVALID_ARGUMENT, what OpenSSL says.
  static absl::StatusOr<std::shared_ptr<TlsContext>> Make(const Pem& pem);

  asio::ssl::context& context() { return context_; }
  // Gives the names of the server's certificate.
  const std::vector<std::string>& names() const { return names_; }

 private:
  TlsContext() : context_(asio::ssl::context::tls_server) {}

  asio::ssl::context context_;
  std::vector<std::string> names_;
};

// Gives the names in a certificate: the common name first, then the alternative
// ones of hosts, mail and URIs, and addresses as they are written.
std::vector<std::string> NamesOf(X509* certificate);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HTTP_TLS_CONTEXT_H_
