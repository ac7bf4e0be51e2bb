// HttpPort: the HTTP port of the daemon, on a thread of its own.
#ifndef PORTREEVE_SERVER_DAEMON_HTTP_PORT_H_
#define PORTREEVE_SERVER_DAEMON_HTTP_PORT_H_

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/loop.h"
#include "lib/net/address.h"
#include "lib/serve/listening_socket.h"
#include "server/daemon/tls_source.h"
#include "server/http/http_server.h"

namespace portreeve::server {

// Serves from Start() to Stop().
// Threads: one, which is not the port's own.
class HttpPort {
 public:
  struct Options {
    std::vector<HttpPlace> places;
    // Sockets of the daemon's former process, by their place; nobody is
    // accepted there before Own().
    std::map<size_t, HandedSocket> handed;
    // As in HttpServer::Options.
    size_t max_connections = 256;
    size_t max_refused = 16;
    std::vector<std::string> host_names;
    std::shared_ptr<TlsSource> tls;  // Null: without TLS.
    // Makes the pages, on the port's thread, for a server on that executor.
    std::function<HttpPages(const Executor&)> pages;
  };

  // Binds all of the addresses, or none.  Those of TCP speak TLS, if there is
  // `tls`.
  // Errors: those of ListeningSocket::Open(), and INVALID_ARGUMENT for files of
  // TLS that OpenSSL does not take.
  static absl::StatusOr<std::unique_ptr<HttpPort>> Start(Options options);

  HttpPort(const HttpPort&) = delete;
  HttpPort& operator=(const HttpPort&) = delete;
  ~HttpPort();  // Calls Stop().

  // Gives the addresses as bound, in the order of Options::places.
  const std::vector<AnyAddress>& addresses() const { return addresses_; }

  // As HttpServer has them; the port's loop goes on meanwhile.
  std::vector<FrozenListeningSocket> Freeze();
  void HandOver();
  void Own();

  // Closes everything at once.  Idempotent.
  void Stop();

 private:
  HttpPort() = default;

  absl::Status Open(Options options);
  absl::Status OpenOnLoop(HttpServer::Options options,
                          const std::vector<HttpPlace>& places,
                          std::map<size_t, HandedSocket> handed);

  std::vector<AnyAddress> addresses_;
  Loop loop_{"http"};
  std::unique_ptr<HttpServer> server_;  // The loop's.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_HTTP_PORT_H_
