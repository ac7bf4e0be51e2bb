// ControlTable: the connections of the control plane, and how many of their
// calls gRPC has taken in.
#ifndef PORTREEVE_SERVER_CONTROL_CONTROL_TABLE_H_
#define PORTREEVE_SERVER_CONTROL_CONTROL_TABLE_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/base/time_source.h"
#include "server/control/control_connection.h"
#include "server/control/flood_policy.h"

namespace portreeve::server {

// Threads: any.
class ControlTable {
 public:
  // How many calls gRPC may have taken in and not begun: beyond that, somebody
  // keeps its threads busy with more of them.  One client may send all that it
  // may have at once, and others call meanwhile.
  static constexpr int kMostPending = FloodPolicy::kMostCalls + 250;

  // How many calls gRPC may have taken in since OnLooked(), which is called
  // every few milliseconds unless the loop is far behind with what the calls
  // ask of it.
  static constexpr int kMostUnseen = 2000;

  // How far a client must go beyond what is free before ShutDownBusiest()
  // counts it as busy (see ControlActivity::Level()).
  static constexpr int64_t kLeastActivity = 2 << 10;

  // `clock` may be called on any thread.
  using Clock = std::function<TimePoint()>;
  ControlTable()
      : ControlTable([] { return std::chrono::steady_clock::now(); }) {}
  explicit ControlTable(Clock clock) : clock_(std::move(clock)) {}
  ControlTable(const ControlTable&) = delete;
  ControlTable& operator=(const ControlTable&) = delete;

  // Adds `connection`, in place of one with the same key, which gRPC has closed
  // by now.
  void Add(std::shared_ptr<ControlConnection> connection);
  // The connection has ended.  Calls of it may still come to light, so that
  // Find() gives the newest kMostEnded of the connections that have ended,
  // where there is memory for it.
  static constexpr size_t kMostEnded = 1000;
  void OnEnded(const std::shared_ptr<ControlConnection>& connection);
  // Gives null where there is none.
  std::shared_ptr<ControlConnection> Find(const std::string& key) const;

  // gRPC has taken in a call, of which nobody knows yet whose it is; and it has
  // begun that, or given it up.
  void OnCallTakenIn();
  void OnCallBegun();
  // FloodWatch has looked for clients that ask for too much.
  void OnLooked() { unseen_ = 0; }

  // Ends `connection`, and says why in the log, at most once a second, where
  // there is memory for it.
  void ShutDown(ControlConnection& connection, const char* why);

  // The same as kLeastActivity for kEvenThoseThatCarry, where the process is
  // too large: that may be the fault of somebody who is silent by now, and is
  // not the fault of whoever makes a few calls at once.
  static constexpr int64_t kLeastHeld = 16 << 10;

  // The same for a client that carries connections, beyond a window of HTTP/2
  // for each: where no other is found, that one may make the process grow as
  // fast.
  static constexpr int64_t kLeastOfCarrying = 64 << 10;

  // What is much where the process grows as it may.
  static constexpr int64_t kMuch = 128 << 10;

  // Ends the busiest client, or all that are nearly as busy, of those whose
  // activity is kLeastActivity or more and who carry no connections.  Where
  // there are none, it takes those who carry some, and have sent
  // kLeastOfCarrying or more: what gRPC is slow to be done with, in a flood of
  // others, is not their fault.  kAllBeyondCredit: for those who carry, what
  // may be a message and a window of each of their connections does not count.
  // kWhoSendsMuch: the same, and of all only those who have sent kMuch or more
  // that nothing explains, be it a whole request that is on its way.
  // kEvenThoseThatCarry: it takes those who carry none and hold, or have sent
  // unexplained, kLeastHeld or more; where there are none, or those who carry
  // some have far more, it takes the latter, without what is expected for their
  // connections; and where there are none of either, all of them, with all that
  // they hold.
  enum class Whom {
    kBusiest,
    kAllAsBusy,
    kAllBeyondCredit,
    kWhoSendsMuch,
    kEvenThoseThatCarry
  };
  void ShutDownBusiest(Whom whom, const char* why);

  // Gives how many calls carry a connection, or are about to come back for one.
  int64_t num_carrying() const;
  // Gives how many connections this has ended so far.
  int64_t num_shut_down() const { return num_shut_down_; }

 private:
  struct Busy {
    std::shared_ptr<ControlConnection> connection;
    int64_t activity;
  };
  static bool IsBusier(const Busy& a, const Busy& b);
  std::vector<std::shared_ptr<ControlConnection>> OpenOnes() const;
  // Gives those that `whom` means, the busiest first.
  std::vector<Busy> Found(Whom whom) const;
  // Gives the busiest first; where a client carries connections, `of_carrying`
  // bytes for each of them do not count.
  std::vector<Busy> BusyOnes(int64_t of_carrying) const;
  std::vector<Busy> SendingOnes() const;
  std::vector<Busy> HoldingOnes() const;
  bool MayLog();

  const Clock clock_;

  mutable Mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<ControlConnection>>
      connections_ PORTREEVE_GUARDED_BY(mutex_);
  std::deque<std::weak_ptr<ControlConnection>> ended_
      PORTREEVE_GUARDED_BY(mutex_);
  std::optional<std::chrono::steady_clock::time_point> logged_
      PORTREEVE_GUARDED_BY(mutex_);
  std::atomic<int> pending_ = 0;
  std::atomic<int> most_pending_ = kMostPending;  // It rises while more come.
  std::atomic<int> unseen_ = 0;
  std::atomic<int64_t> num_shut_down_ = 0;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_CONTROL_TABLE_H_
