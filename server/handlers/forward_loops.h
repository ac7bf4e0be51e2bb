// ForwardLoops: keeps forwarded connections from coming back to where they have
// been.
#ifndef PORTREEVE_SERVER_HANDLERS_FORWARD_LOOPS_H_
#define PORTREEVE_SERVER_HANDLERS_FORWARD_LOOPS_H_

#include <sys/stat.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/functional/function_ref.h"
#include "lib/base/mutex.h"
#include "lib/base/time_source.h"
#include "lib/net/address.h"
#include "lib/net/own_addresses.h"
#include "lib/net/where.h"

namespace portreeve::server {

// What a wildcard address takes: its own family, or, as a dual-stack `::` does,
// IPv4 too.
enum class Families { kItsOwn, kBoth };

// Whether what listens at `listening`, `0.0.0.0` and `::` being every address
// of the machine, takes what connects to `upstream`.  It is never true for a
// name, or for a port 0.
bool Takes(const Inet::Address& listening, const Inet::Address& upstream,
           Families families = Families::kItsOwn);
bool Takes(const Inet::Address& listening, const WhereToConnect<Inet>& upstream,
           Families families = Families::kItsOwn);

// The listeners of the daemon that forward, and those of its connections that
// lead from one of them to another: by them a listener knows, of a client that
// is the daemon itself, what it has come through.
//
// Threads: any.  A connection that leads nowhere near such a listener costs a
// load or two.
class ForwardLoops {
 public:
  // A listener that forwards.
  using Id = int64_t;
  using Upstream = std::variant<WhereToConnect<Inet>, WhereToConnect<Unix>>;
  struct Listener {
    AnyAddress address;  // Where it listens.
    // Whether every connection to it is its own: it shares its port with
    // nobody, and takes clients of every interface.
    bool is_alone = true;
    Upstream upstream;
    Families families = Families::kItsOwn;
  };

  // What a unix socket is known by: its file, or its abstract name.
  using File = std::pair<dev_t, ino_t>;
  using UnixSocket = std::variant<File, std::string>;
  static UnixSocket Known(const struct stat& file) {
    return File(file.st_dev, file.st_ino);
  }

  // What a connection has come through, the last one first.
  struct Passed {
    Id listener;
    std::shared_ptr<const Passed> before;
  };
  using SharedPassed = std::shared_ptr<const Passed>;

  // Whether this machine has an address; it may cost system calls.
  using IsLocal = std::function<bool(const asio::ip::address&)>;
  // How long the answer is remembered that the machine has not an address, so
  // that the calls are not made for each connection.  A connection that leads
  // back meanwhile is found where it is accepted.
  static constexpr std::chrono::seconds kElsewhere{1};

  explicit ForwardLoops(IsLocal is_local = &IsOfThisMachine)
      : is_local_(std::move(is_local)) {}
  ForwardLoops(const ForwardLoops&) = delete;
  ForwardLoops& operator=(const ForwardLoops&) = delete;

  Id NewId() { return ++last_id_; }
  // The listener forwards from now on, or does so otherwise than before.  Where
  // there is no memory for it, std::bad_alloc is thrown, and it is as if it was
  // closed.
  void Open(Id id, Listener listener);
  // The listener forwards no more, or is closed.  Idempotent.
  void Close(Id id);

  // Whether a connection to `upstream` would go, by what is known without
  // asking for names, from one listener to the next until `is_reached`.
  bool LeadsTo(Upstream upstream,
               absl::FunctionRef<bool(const Upstream&)> is_reached) const;

  // Whether there is a listener with that port, or on some unix socket.
  bool HasPort(uint16_t port) const {
    return (ports_[port / 64].load(std::memory_order_relaxed) >> port % 64 &
            1) != 0;
  }
  bool has_files() const { return num_files_ > 0; }
  // Whether any connection leads from one listener to another.
  bool has_connections() const { return num_connections_ > 0; }

  // Gives what an accepted client has come through; null if the client is not
  // the daemon.
  SharedPassed PassedBy(const AnyAddress& peer, const AnyAddress& local) const;

 private:
  friend class ForwardTrail;

  // A connection of the daemon to one of its listeners, by both its addresses,
  // since several connections can have one of them in common.  A unix socket
  // has a name that it was given for this alone.
  using Ends = std::pair<AnyAddress, AnyAddress>;
  struct Entry {
    Listener listener;
    std::optional<UnixSocket> unix_socket;
  };

  using IsLocalRef = absl::FunctionRef<bool(const asio::ip::address&)>;
  // Gives the listener that takes what connects there; 0 if there is none, or
  // it is not certain.
  Id Find(const Upstream& upstream) const PORTREEVE_REQUIRES(mutex_);
  Id Find(const Inet::Address& address, IsLocalRef is_local) const
      PORTREEVE_REQUIRES(mutex_);
  Id Find(const UnixSocket& socket) const PORTREEVE_REQUIRES(mutex_);
  // Gives what is_local_() says, or has said a moment ago.
  bool IsLocalOfLate(const asio::ip::address& address, TimePoint now)
      PORTREEVE_REQUIRES(mutex_);
  void SetPort(uint16_t port, bool has_listener);
  void Forget(std::map<Id, Entry>::iterator entry) PORTREEVE_REQUIRES(mutex_);

  const IsLocal is_local_;
  std::atomic<Id> last_id_{0};
  std::array<std::atomic<uint64_t>, 1024> ports_{};  // A bit each.
  std::atomic<int> num_files_{0};
  std::atomic<int> num_connections_{0};

  mutable Mutex mutex_;
  std::map<Id, Entry> listeners_ PORTREEVE_GUARDED_BY(mutex_);
  std::multimap<uint16_t, Id> by_port_ PORTREEVE_GUARDED_BY(mutex_);
  std::map<Ends, SharedPassed> connections_ PORTREEVE_GUARDED_BY(mutex_);
  // Addresses that the machine has not, and until when.
  std::map<asio::ip::address, TimePoint> elsewhere_
      PORTREEVE_GUARDED_BY(mutex_);
};

// What one connection of a listener has come through, and its connections to
// other listeners of the daemon.
// Threads: one.  Lifetime: `loops` must outlive it.
class ForwardTrail {
 public:
  // Begins the trail of a connection of `own`, whose client has come through
  // `before`.
  ForwardTrail(ForwardLoops& loops, ForwardLoops::Id own,
               ForwardLoops::SharedPassed before);
  ~ForwardTrail() { Clear(); }
  ForwardTrail(const ForwardTrail&) = delete;
  ForwardTrail& operator=(const ForwardTrail&) = delete;

  // Whether the connection has come back.
  bool is_loop() const;
  // Whether `peer` or `socket` is a listener that the connection has come
  // through, or its own.
  bool LeadsBack(const Inet::Address& peer, TimePoint now) const;
  bool LeadsBack(const ForwardLoops::UnixSocket& socket) const;
  // Whether `socket` is a listener at all.
  bool LeadsToListener(const ForwardLoops::UnixSocket& socket) const;
  // Whether the connection has come through another listener, or leads to one
  // for certain.
  bool ConcernsOthers(TimePoint now) const;

  // Calls `connect`, which begins a connection to `peer` and gives its
  // descriptor, or -1; whoever accepts it knows where it has come from,
  // however soon that is.
  void Connect(const Inet::Address& peer, absl::FunctionRef<int()> connect);
  // Gives the unix socket a name by which whoever accepts it knows the same.
  // It must be called before the socket connects.  Gives 0, or errno.
  int GiveName(int fd);

  // Forgets the connections so far but for that of `fd`, if it is one.
  void KeepOnly(int fd);
  void Clear() { KeepOnly(-1); }

 private:
  bool HasPassed(ForwardLoops::Id id) const;
  void ForgetDescriptor(int fd) PORTREEVE_REQUIRES(loops_.mutex_);
  void ForgetIf(absl::FunctionRef<bool(int fd)> is_over)
      PORTREEVE_REQUIRES(loops_.mutex_);

  ForwardLoops& loops_;
  const ForwardLoops::SharedPassed passed_;  // Its own listener is the first.
  std::map<ForwardLoops::Ends, int> connections_;  // The descriptors.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDLERS_FORWARD_LOOPS_H_
