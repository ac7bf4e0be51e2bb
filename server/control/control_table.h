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
  // How many calls gRPC may have taken in without beginning them: beyond that
  // somebody keeps its threads busy with more of them.  One client may send all
  // that it may have at once, and others call meanwhile.
  static constexpr int kMostPending = FloodPolicy::kMostCalls + 250;

  // How many it may have taken in since OnLooked(), which comes every few
  // milliseconds unless the loop is far behind with what they ask of it.
  static constexpr int kMostUnseen = 2000;

  // What a client may do beyond what is free, without being one that is looked
  // for (see ControlActivity::Level()).
  static constexpr int64_t kLeastActivity = 2 << 10;

  // `clock` may be called on any thread.
  using Clock = std::function<TimePoint()>;
  ControlTable()
      : ControlTable([] { return std::chrono::steady_clock::now(); }) {}
  explicit ControlTable(Clock clock) : clock_(std::move(clock)) {}
  ControlTable(const ControlTable&) = delete;
  ControlTable& operator=(const ControlTable&) = delete;

  // In place of one of the same key, which gRPC has closed by now.
  void Add(std::shared_ptr<ControlConnection> connection);
  // It has ended.  Calls of it may still come to light: the newest kMostEnded
  // of those that have ended are found for a while, where there is memory for
  // it.
  static constexpr size_t kMostEnded = 1000;
  void OnEnded(const std::shared_ptr<ControlConnection>& connection);
  // Null where there is none.
  std::shared_ptr<ControlConnection> Find(const std::string& key) const;

  // gRPC has taken in a call, of which nobody knows yet whose it is; and begun
  // it, or given it up.
  void OnCallTakenIn();
  void OnCallBegun();
  // Whoever looks for clients that ask for too much has done so.
  void OnLooked() { unseen_ = 0; }

  // Ends `connection` and says why in the log: once a second at most.
  void ShutDown(ControlConnection& connection, const std::string& why);

  // The same where the process is too large: it may be somebody's fault who is
  // silent by now, and nobody's who calls a few times at once.
  static constexpr int64_t kLeastHeld = 16 << 10;

  // The same for one that carries connections, beyond a window of HTTP/2 for
  // each: where nobody else is found it may make the process grow as fast.
  static constexpr int64_t kLeastOfCarrying = 64 << 10;

  // Of those whose activity is kLeastActivity or more and who carry nothing,
  // ends the busiest one, or with it all that are nearly as busy; for want of
  // such, of those who carry, and have sent as much as kLeastOfCarrying: what
  // gRPC is slow to be done with, in a flood of others, is not their fault.
  // kAllBeyondCredit: of those who carry, what may be a message and a window of
  // each of their connections is not counted.
  // kEvenThoseThatCarry: of those who do, or have sent unexplained, kLeastHeld
  // or more; for want of such, or where it is far more, of those that carry
  // connections, what is expected for these not counted; and at last, for want
  // of such, of those with all that they have sent.
  enum class Whom {
    kBusiest,
    kAllAsBusy,
    kAllBeyondCredit,
    kEvenThoseThatCarry
  };
  void ShutDownBusiest(Whom whom, const std::string& why);

  // How many calls carry a connection.
  int64_t num_carrying() const;
  // How many were ended here so far.
  int64_t num_shut_down() const { return num_shut_down_; }

 private:
  struct Busy {
    std::shared_ptr<ControlConnection> connection;
    int64_t activity;
  };
  static bool IsBusier(const Busy& a, const Busy& b);
  std::vector<std::shared_ptr<ControlConnection>> OpenOnes() const;
  // The busiest first; of one that carries, `of_carrying` bytes for each of its
  // connections do not count.
  std::vector<Busy> BusyOnes(int64_t of_carrying) const;
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
  std::atomic<int> most_pending_ = kMostPending;  // Rises while more come.
  std::atomic<int> unseen_ = 0;
  std::atomic<int64_t> num_shut_down_ = 0;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_CONTROL_TABLE_H_
