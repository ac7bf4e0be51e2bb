// ControlConnection: one client's connection to the control plane, as seen
// beside gRPC, which reads and writes it.
#ifndef PORTREEVE_SERVER_CONTROL_CONTROL_CONNECTION_H_
#define PORTREEVE_SERVER_CONTROL_CONTROL_CONNECTION_H_

#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/descriptor.h"
#include "lib/base/mutex.h"
#include "lib/base/time_source.h"
#include "server/control/control_activity.h"
#include "server/control/flood_policy.h"

namespace portreeve::server {

// Counts what the client asks for, and ends the connection where gRPC has no
// way to: it holds a copy of the descriptor that gRPC owns.
// Threads: any, but for Forget().
class ControlConnection {
 public:
  struct Client {
    // gRPC's name for the connection, which all its calls carry: "fd:12", or
    // with TLS "ipv4:127.0.0.1:40000".  No other connection has it at the time.
    std::string key;
    // "ipv4:127.0.0.1:40000", "unix:".
    std::string address;
    // gRPC has made sure of a certificate before there is a call.
    bool is_secure = false;
    // The client's, if this is a unix socket (SO_PEERCRED).
    std::optional<ucred> credentials;
  };

  // How many connections of another process await their clients, any of which
  // may come back for all of them at once; it changes.  Null: none.
  using Expected = std::shared_ptr<const std::atomic<int>>;

  // `copy` is a copy of the socket's descriptor; the socket is one of TCP
  // unless there are credentials.
  ControlConnection(Client client, Descriptor copy,
                    Expected expected = nullptr);
  ControlConnection(const ControlConnection&) = delete;
  ControlConnection& operator=(const ControlConnection&) = delete;

  const std::string& key() const { return client_.key; }
  bool is_secure() const { return client_.is_secure; }
  bool is_unix() const { return client_.credentials.has_value(); }

  // Of the process that has connected; none where this is no unix socket.
  const std::optional<ucred>& credentials() const {
    return client_.credentials;
  }
  // Gives its supplementary groups at that time (SO_PEERGROUPS); none where the
  // kernel does not tell, before Linux 4.13.  Nothing once the connection is
  // over.
  std::optional<std::vector<gid_t>> Groups() const;

  // Gives whom an audit names: the address, or "unix:uid=1000(ann)".  The first
  // call may ask the system's user database, and so may block.
  const std::string& Who();
  // Gives what is the same for each connection of a client: "ipv4:127.0.0.1",
  // "unix:uid=1000".
  std::string Identity() const;

  // Counts a call.  Gives false where that is one too many, for which the
  // caller shuts the connection down.
  bool BeginCall();
  void EndCall(bool cancelled);
  // Counts a call that will carry a connection: the bound of connections holds
  // for such calls, and not that of calls that may wait.  Only the loop's
  // thread calls these and the next two pairs.
  void BeginUnjoined() {
    ++unjoined_;
    NoteMost();
  }
  void EndUnjoined() { --unjoined_; }
  // Counts a call that carries a connection, whose bytes are expected, too.
  void BeginCarrying() {
    ++carrying_;
    NoteMost();
  }
  void EndCarrying() { --carrying_; }
  // Counts a call whose connection is closed by now.  As many of them as
  // carried connections at a time are not counted as calls that wait, since all
  // may end at once.
  void BeginEnded() { ++ended_; }
  void EndEnded() { --ended_; }
  // Counts a message that was read.
  void AddMessage(size_t bytes);
  // Counts a message that goes to the client.
  void AddSent() { ++sent_; }
  // Counts a call whose status is on its way, until EndCall().
  void BeginAnswer() { ++answered_; }
  void EndAnswer() { --answered_; }

  // Whether the client has made a call.
  bool called() const { return begun_ > 0; }
  int carrying() const { return carrying_; }
  // The same with the calls by which the client comes back for what it is
  // expected to.
  int carrying_soon() const {
    const int carried = carrying_;
    return carried + std::clamp(in_flight_ - carried, 0, expected());
  }
  int expected() const {
    return expected_ == nullptr ? 0 : std::max<int>(0, *expected_);
  }
  // The most that it has carried at a time since none of those that have ended
  // was left.
  int most_carried() const { return most_of_connections_; }

  // Gives the most connections that it has carried of late.
  int Carried(TimePoint now) const;

  // Gives all counts up to now, those of the kernel included.
  FloodPolicy::Totals Totals() const;

  // These ask ControlActivity how busy the client is of late beyond what is
  // free, and the same with all that waits; what it has sent of late, and ever,
  // that nothing explains; and whether it is quiet.  What a unix socket has
  // sent nobody knows: Unexplained() is not more than 0, and IsQuiet() false.
  int64_t Activity(TimePoint now) const;
  int64_t Held(TimePoint now) const;
  int64_t SentOfLate(TimePoint now) const;
  int64_t Unexplained() const;
  bool IsQuiet() const;
  bool Look(TimePoint now, const FloodPolicy::Totals& totals, bool arrived);

  // Ends the connection at once: the client gets a reset, and what it has sent
  // and gRPC has not read is thrown away.  Gives false if that was done before.
  bool ShutDown();
  bool is_shut_down() const { return shut_down_; }
  bool is_open() const;  // Neither shut down nor forgotten.

  // The connection is over: closes the copy.  What gRPC has not read by then is
  // thrown away if it is more than a few requests, since nobody looks after
  // what would become of them.
  // Threads: the one that watches the copy.
  void Forget();
  // Gives the copy, until Forget().
  // Threads: that one, too; since nobody else changes the copy, no lock is
  // needed.
  int native_handle() const PORTREEVE_NO_THREAD_SAFETY_ANALYSIS {
    return copy_.get();
  }

 private:
  void NoteMost() {
    const int most = ended_ == 0 ? 0 : most_of_connections_.load();
    most_of_connections_ = std::max(most, carrying_ + unjoined_);
  }

  const Client client_;
  std::once_flag name_once_;
  std::string who_;

  const Expected expected_;
  std::atomic<int> in_flight_ = 0;
  std::atomic<int> carrying_ = 0;
  std::atomic<int> unjoined_ = 0;
  std::atomic<int> ended_ = 0;
  std::atomic<int> most_of_connections_ = 0;
  std::atomic<int64_t> begun_ = 0;
  std::atomic<int64_t> cancelled_ = 0;
  std::atomic<int64_t> messages_ = 0;
  std::atomic<int64_t> message_bytes_ = 0;
  std::atomic<int64_t> sent_ = 0;
  std::atomic<int> answered_ = 0;
  std::atomic<bool> shut_down_ = false;

  mutable Mutex mutex_;
  Descriptor copy_ PORTREEVE_GUARDED_BY(mutex_);
  ControlActivity activity_ PORTREEVE_GUARDED_BY(mutex_);
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_CONTROL_CONNECTION_H_
