// ControlAcceptor: takes the clients of the control plane in, hands them to
// gRPC, and keeps their places until they end.
#ifndef PORTREEVE_SERVER_CONTROL_CONTROL_ACCEPTOR_H_
#define PORTREEVE_SERVER_CONTROL_CONTROL_ACCEPTOR_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "lib/base/executor.h"
#include "lib/base/poller.h"
#include "lib/base/time_source.h"
#include "lib/net/address.h"
#include "lib/net/descriptor_budget.h"
#include "lib/serve/acceptor.h"
#include "lib/serve/listening_socket.h"
#include "server/control/control_connection.h"
#include "server/control/control_memory.h"
#include "server/control/control_table.h"
#include "server/control/flood_watch.h"
#include "server/control/handshakes.h"

namespace portreeve::server {

// An address of the control plane.
struct ControlPlace {
  AnyAddress address;
  // The permissions and the group of a unix socket's file, of no effect for any
  // other address; without a group it has that of every new file.
  int mode = 0600;
  std::optional<gid_t> group = std::nullopt;
};

// gRPC 1.51 stops accepting for ever when it has no descriptor for a moment;
// this acceptor has descriptors of its own, and tries again (S10).
//
// FloodWatch looks at what the clients send.
//
// Threads: the loop's.
// Lifetime: it must be closed by Close() before it is destroyed.
class ControlAcceptor {
 public:
  struct Limits {
    // How many clients there are at a time; more wait in the backlog.
    int max_connections = 1000;
    // How many of them may be there that have not made a call yet.
    int max_handshakes = 100;
    // How long each of those has to make one.
    Duration handshake = std::chrono::seconds(10);
    // How long a client may leave unacknowledged what it was sent.
    std::chrono::milliseconds unacknowledged = std::chrono::seconds(10);
  };

  // Gives gRPC the connection `fd`, which it owns from then on, also where it
  // throws.
  using HandOver = std::function<void(int fd, bool is_unix)>;

  // With `secure` gRPC does the handshake of TLS on connections of TCP, gives
  // that up after Limits::handshake, and names connections by their addresses.
  // `table` and `memory` must outlive it.
  ControlAcceptor(const Executor& executor, const Limits& limits, bool secure,
                  ControlTable& table, ControlMemory& memory);
  ControlAcceptor(const ControlAcceptor&) = delete;
  ControlAcceptor& operator=(const ControlAcceptor&) = delete;
  ~ControlAcceptor();

  // Listens at `place`, or on a `given` socket, which is somebody else's, who
  // has bound it there, and has said who may connect; clients wait until
  // Start().
  // Errors: those of ListeningSocket::Open() and Adopt().
  absl::Status Listen(const ControlPlace& place,
                      std::optional<Descriptor> given = std::nullopt);
  // Goes on with a socket of another process; nobody is accepted before Own().
  // Errors: those of ListeningSocket::Resume().
  absl::Status Resume(HandedSocket socket);
  // Gives what another process needs to go on with each address, in the order
  // of addresses().
  std::vector<FrozenListeningSocket> Freeze() const;
  // Another process has done so: lets go of the sockets.  Those who have
  // connected stay.
  void HandOverSockets();
  // That process has let go of them.  Start() must have been called.
  void Own();

  // Whoever connects from now on may come back for these.
  void Expect(ControlConnection::Expected expected) {
    expected_ = std::move(expected);
  }

  // Gives the addresses as bound, in the order of the calls of Listen().
  std::vector<AnyAddress> addresses() const;

  // Begins to accept.
  // Errors: those of epoll_ctl(2).
  absl::Status Start(HandOver hand_over);

  // Lets nobody connect any more; those who have stay.
  void StopAccepting();
  // Forgets the connections, which gRPC must have ended by now.
  void Close();

 private:
  class Address;
  class Client;

  void OnClient(Address& address, Descriptor fd, const AnyAddress& peer);
  // Puts a connection that is watched into the table, and gives it to gRPC.
  void TakeIn(const std::shared_ptr<ControlConnection>& connection,
              Descriptor fd, bool is_unix);
  absl::StatusOr<std::shared_ptr<ControlConnection>> Describe(
      int fd, bool is_unix, const AnyAddress& peer) const;
  // Logs now and then that clients had to go for want of descriptors or the
  // like.
  void NoteDropped(const absl::Status& why);
  // Ends the older one of two connections with one name.
  void EndNamesake(const ControlConnection& connection) const;
  absl::Status Watch(Address& address,
                     const std::shared_ptr<ControlConnection>& connection);
  void Forget(Client& client);
  void Leave(Address& address);
  void AwaitHandshakes();
  void ExpireHandshakes();
  void EndNeedlessTimer();

  const Executor executor_;
  const Limits limits_;
  const bool secure_;
  ControlTable& table_;
  Poller& poller_;
  TimeSource& time_;
  DescriptorBudget budget_;
  HandOver hand_over_;
  std::vector<std::unique_ptr<Address>> addresses_;
  std::unordered_map<Client*, std::unique_ptr<Client>> clients_;
  Handshakes<std::shared_ptr<ControlConnection>> handshakes_;
  Timer handshake_timer_;
  FloodWatch flood_watch_;
  ControlConnection::Expected expected_;
  int64_t num_dropped_ = 0;
  std::optional<TimePoint> drop_logged_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_CONTROL_ACCEPTOR_H_
