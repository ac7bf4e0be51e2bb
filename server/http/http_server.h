// HttpServer: takes the clients of an HTTP port in, and serves them.
#ifndef PORTREEVE_SERVER_HTTP_HTTP_SERVER_H_
#define PORTREEVE_SERVER_HTTP_HTTP_SERVER_H_

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/executor.h"
#include "lib/base/task_scope.h"
#include "lib/base/time_source.h"
#include "lib/net/address.h"
#include "lib/net/descriptor_budget.h"
#include "lib/serve/listening_socket.h"
#include "server/http/http_message.h"
#include "server/http/http_session.h"
#include "server/http/tls_context.h"

namespace portreeve::server {

// Where a server listens.
struct HttpPlace {
  AnyAddress address;
  // The permissions and the group of a unix socket's file; without a group it
  // has that of every new file.
  int mode = 0600;
  std::optional<gid_t> group = std::nullopt;
};

// Where a descriptor is missing for a client, accepting pauses and is tried
// again (docs/CONFORMANCE.md, S10).
//
// Threads: the loop's.
// Lifetime: Stop() must have ended before it is destroyed.
class HttpServer {
 public:
  struct Options {
    // How many clients are served at a time; and how many more are let in to be
    // told, by 503, that these are too many; unless one of the first has been
    // waited for long enough (HttpTimes::place), and gives its place.  Others
    // wait in the backlog.  Each takes one descriptor.
    size_t max_connections = 256;
    size_t max_refused = 16;
    HttpTimes times;
    HttpPages pages;
    // By what names it may be called, beside addresses, localhost and those of
    // its certificate.
    std::vector<std::string> host_names;
    // Gives what the next handshake on TCP is made with, and is asked for each
    // client; null: there is no TLS.
    std::function<std::shared_ptr<TlsContext>()> tls;
  };

  HttpServer(const Executor& executor, Options options);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();

  // Listens at `place`; clients wait until Start().
  // Errors: those of ListeningSocket::Open().
  absl::Status Listen(const HttpPlace& place);
  // Goes on with a socket of another process; nobody is accepted before Own().
  // Errors: those of ListeningSocket::Resume().
  absl::Status Resume(HandedSocket socket);
  // Gives what another process needs to go on with each address, in the order
  // of addresses().
  std::vector<FrozenListeningSocket> Freeze() const;
  // Another process has done so: lets go of the sockets.  Those who have
  // connected stay.
  void HandOver();
  // That process has let go of them.  Start() must have been called.
  void Own();

  // Gives the addresses as bound, in the order of the calls of Listen().
  std::vector<AnyAddress> addresses() const;

  // Begins to accept.  Errors: those of epoll_ctl(2).
  absl::Status Start();

  // Closes everything at once; returns when nothing is left.
  Task<> Stop();

 private:
  class Address;

  int max_clients() const {
    return static_cast<int>(max_connections_ + max_refused_);
  }
  void OnClient(Address& address, Descriptor fd);
  void Spawn(Address& address, std::shared_ptr<HttpSession> session);
  std::shared_ptr<HttpSession> MakeSession(const Address& address,
                                           Descriptor fd);
  bool IsFull() const;
  // Closes whoever has been waited for longest, if long enough.
  void MakePlace();
  void NoteOneTooMany();
  void Leave(Address& address);

  const Executor executor_;
  const size_t max_connections_;
  const size_t max_refused_;
  const std::function<std::shared_ptr<TlsContext>()> tls_;
  TimeSource& time_;
  DescriptorBudget budget_;
  HttpService service_;
  std::vector<std::unique_ptr<Address>> addresses_;
  std::set<std::shared_ptr<HttpSession>> sessions_;
  size_t num_refused_ = 0;  // Of the sessions: is_one_too_many().
  std::optional<TimePoint> refusal_logged_;
  TaskScope tasks_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HTTP_HTTP_SERVER_H_
