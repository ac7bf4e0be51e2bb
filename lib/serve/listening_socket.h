// ListeningSocket: a bound, listening descriptor (docs/CONFORMANCE.md, S1, S2,
// S6, S11 and S12).
#ifndef PORTREEVE_LIB_SERVE_LISTENING_SOCKET_H_
#define PORTREEVE_LIB_SERVE_LISTENING_SOCKET_H_

#include <optional>

#include "absl/status/statusor.h"
#include "lib/base/asio.h"
#include "lib/base/descriptor.h"
#include "lib/base/poller.h"
#include "lib/net/where.h"
#include "lib/serve/frozen_server.h"
#include "lib/serve/unix_socket_file.h"

namespace portreeve {

// The queue of clients that are connected and wait to be accepted.
struct Backlog {
  int num_waiting = 0;
  int limit = 0;  // How many there may be, as the kernel has it.
};

// The socket of another process, which goes on here, and what that says of it.
struct HandedSocket {
  FrozenListeningSocket frozen;
  Descriptor descriptor;
};

// Threads: loop thread only.
class ListeningSocket {
 public:
  // Binds and listens.  Where the OS chooses the port, it tries 10 times.
  //
  // A unix socket's file that a dead server left is removed, after a probe has
  // shown that nobody listens there; of several processes that try, one gets
  // it.  A file that is no socket is never touched.  The file has its mode
  // before the first client can connect.
  //
  // `backlog` >= 0.  Errors: INVALID_FIELD, ADDRESS_IN_USE,
  // ADDRESS_NOT_AVAILABLE, BIND_NOT_PERMITTED, NOT_A_SOCKET,
  // NO_SUCH_PATH, FD_LIMIT.
  template <AddressKind A>
  static absl::StatusOr<ListeningSocket> Open(const Executor& executor,
                                              const WhereToListen<A>& where,
                                              int backlog);

  // Listens on `socket`, which somebody else has made; AnyServer::Create() says
  // what it has to be, and what is done to it.  `shut_down` is
  // ServerOptions::shut_down_given_socket.  Errors: those of Open(), and
  // INVALID_FIELD or NOT_A_SOCKET about "socket".
  template <AddressKind A>
  static absl::StatusOr<ListeningSocket> Adopt(const Executor& executor,
                                               const WhereToListen<A>& where,
                                               int backlog, Descriptor socket,
                                               bool shut_down);

  // Goes on with the socket of another process, of which `socket` is a copy;
  // with one that is closed, where that is none.  The kernel is not asked to
  // bind or to listen, and a unix socket's file is only looked at.  It is not
  // owned until Own().  Errors: INVALID_FIELD or NOT_A_SOCKET about "socket",
  // where that is of another kind, or does not listen.
  static absl::StatusOr<ListeningSocket> Resume(
      const Executor& executor, const FrozenListeningSocket& frozen,
      Descriptor socket);

  ListeningSocket(ListeningSocket&& other) = default;
  ListeningSocket& operator=(ListeningSocket&&) = delete;
  ~ListeningSocket();

  // Has `watch` called, in each round of the poller in which a client waits,
  // until this is called with false or the socket is closed.  Every call must
  // have the same `watch`, which must live as long.  Gives 0, or errno where
  // the socket cannot be watched.
  int SetWatched(Poller::Watch& watch, bool watched);
  // Ends the watching altogether: `watch` is not called for a shutdown(2) of
  // the socket either, for which it is called after SetWatched() with false.
  // Idempotent.
  void StopWatching();

  // Accepts one client, or gives nothing and sets `error_number` to the errno.
  struct Accepted {
    Descriptor fd;  // Non-blocking.
    AnyAddress peer;
  };
  std::optional<Accepted> Accept(int* error_number);

  // Changes the backlog.
  absl::Status Listen(int backlog);

  // From now on a close leaves the socket to others who have copies: it is not
  // shut down, and its file stays.
  void LeaveToOthers();

  // Closes the descriptor; nobody can connect any more, even if another process
  // holds a copy of it, unless it was adopted without `shut_down`.  A unix
  // socket's file is removed if it still is the one that was made here, or by
  // the process whose socket this was.  One that is not owned is only closed.
  // Idempotent.
  void Close();

  // Gives what another process needs to go on with it.
  FrozenListeningSocket Freeze() const;

  // The process whose socket it was has given it up: a close is one now.
  void Own() { owned_ = true; }
  bool is_owned() const { return owned_; }

  // Closes the descriptor only, for another process that goes on with the
  // socket: whoever is in the backlog stays there, and the file stays.  Epoll
  // forgets it, though there is a copy.
  void Forget();

  bool is_open() const { return descriptor_.is_open(); }
  int native_handle() const { return descriptor_.get(); }  // -1 once closed.
  // Gives the address as the kernel has it.  It can be called after Close(),
  // too.
  const AnyAddress& address() const { return address_; }
  int effective_backlog() const { return effective_backlog_; }
  // Asks the kernel, which takes a system call.  Gives nothing once it is
  // closed, and for a unix socket, of which the kernel does not say it.
  std::optional<Backlog> ReadBacklog() const;

 private:
  ListeningSocket(Poller& poller, Descriptor descriptor, AnyAddress address,
                  std::optional<UnixSocketFile> file, int effective_backlog,
                  bool shut_down = true);

  Poller* poller_;
  Poller::Watch* watch_ = nullptr;  // Not null once it is registered.
  bool watched_ = false;
  Descriptor descriptor_;
  AnyAddress address_;
  int effective_backlog_;
  std::optional<UnixSocketFile> file_;
  bool shut_down_;
  bool owned_ = true;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_SERVE_LISTENING_SOCKET_H_
