// StatsBoard: looks at the daemon and its listeners for all who watch
// statistics.
#ifndef PORTREEVE_SERVER_STATS_STATS_BOARD_H_
#define PORTREEVE_SERVER_STATS_STATS_BOARD_H_

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "lib/base/asio.h"
#include "lib/base/handler_memory.h"
#include "lib/base/time_source.h"
#include "server/events/event_log.h"
#include "server/metrics/process_values.h"
#include "server/registry/registry.h"
#include "server/stats/stats_view.h"

namespace portreeve::server {

// One look serves all who are due: those with the same interval are due at the
// same time, and looks are kPause apart at least.  A look takes as many steps
// of the loop as there is to look at, and each of those who are due is told in
// a step of its own, so that none holds it for long.  While nobody watches
// nothing is kept, and the loop is not woken.
//
// Threads: loop thread only, but for the constructor and the destructor, which
// any may call while nobody watches.
// Lifetime: destroy it when nobody watches and the loop has run dry.
class StatsBoard {
 public:
  static constexpr std::chrono::milliseconds kPause{50};
  // The most that one step looks at: so many listeners, or as many as have so
  // many connections, if only by the last of them.
  static constexpr size_t kListenersPerStep = 250;
  static constexpr size_t kConnectionsPerStep = 10'000;

  // Somebody who watches.
  class Watcher {
   public:
    virtual ~Watcher() = default;

    // Gives the look that it was told of; 0 before the first.
    virtual int64_t told() const = 0;
    // Is called once after each WakeAt(), after a look.  It may call Join(),
    // Leave() and WakeAt().
    virtual void OnLook() = 0;
  };

  // Reads what the kernel knows of the process, on another thread, for that may
  // take milliseconds; then it calls `then` once, on any thread, also where
  // there is no memory there: nobody else would end the look.
  using AskProcess =
      std::function<void(std::function<void(const ProcessValues&)> then)>;

  StatsBoard(asio::io_context& loop, const Registry& registry,
             const EventLog& events, AskProcess ask_process)
      : loop_(loop),
        registry_(registry),
        events_(events),
        ask_process_(std::move(ask_process)) {}
  StatsBoard(const StatsBoard&) = delete;
  StatsBoard& operator=(const StatsBoard&) = delete;

  void Join(Watcher& watcher) { watchers_[&watcher] = std::nullopt; }
  // It does nothing where the watcher has left already.
  void Leave(Watcher& watcher);

  // Calls watcher.OnLook() after a look that begins at `when` or later.  It has
  // joined.
  void WakeAt(Watcher& watcher, TimePoint when);

  // Adds to `messages`, which are the fields of a v1::WatchStatsResponse each,
  // what the last look has found that is news after look `since`, of the
  // listeners `names` if there are any.  They have no more than `most` bytes,
  // unless one listener has.
  std::deque<std::string> MessagesSince(int64_t since,
                                        const std::set<std::string>& names,
                                        size_t most) const;

  // The number of the last look.
  int64_t last() const { return view_.last(); }

 private:
  using Due = std::optional<TimePoint>;

  void Arm();
  void BeginLook();
  void OnProcess(const ProcessValues& values,
                 std::chrono::steady_clock::time_point posted);
  void Step(const std::string& last_id);
  void EndLook();
  void PostTelling();
  void TellNext();
  // There was no memory for it.
  void AbandonLook();

  asio::io_context& loop_;
  const Registry& registry_;
  const EventLog& events_;
  const AskProcess ask_process_;
  std::map<Watcher*, Due> watchers_;
  std::optional<Timer> timer_;    // From the first watcher on.
  bool looking_ = false;          // Or telling.
  HandlerMemory answer_memory_;   // Of what is asked in a look.
  std::deque<Watcher*> to_tell_;  // Those who were due and were not told yet.
  std::optional<TimePoint> last_look_;  // When it began.
  Duration pause_ = kPause;             // From that to the next.
  StatsView view_;
  std::string header_;  // What each message has besides, encoded.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATS_STATS_BOARD_H_
