// ListenerAccessLog: which lines the connections of one listener leave in the
// access log (portreeve.v1.AccessLog).
#ifndef PORTREEVE_SERVER_REGISTRY_LISTENER_ACCESS_LOG_H_
#define PORTREEVE_SERVER_REGISTRY_LISTENER_ACCESS_LOG_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "lib/base/delay_queue.h"
#include "lib/base/time_source.h"
#include "server/api/checked_spec.h"
#include "server/registry/access_log.h"
#include "server/registry/connection_table.h"

namespace portreeve::server {

// A connection leaves the lines that the spec said when it was accepted, with
// the labels that the listener has when the line is written.
//
// Threads: loop thread only.
// Lifetime: `log`, `time` and `connections` must outlive it.
class ListenerAccessLog {
 public:
  ListenerAccessLog(AccessLog& log, TimeSource& time,
                    const ConnectionTable& connections, std::string listener_id,
                    const CheckedSpec& spec);
  ListenerAccessLog(const ListenerAccessLog&) = delete;
  ListenerAccessLog& operator=(const ListenerAccessLog&) = delete;

  // Which lines a spec asks for.
  struct Rules {
    CheckedSpec::AccessLog lines;
    std::string labels;  // An object of JSON; "" for none.
    // Null where connections leave no lines while they are open.
    std::shared_ptr<DelayQueue> queue;
  };
  Rules RulesOf(const CheckedSpec& spec) const;
  // From now on they hold, for connections that are accepted.
  void Update(Rules rules) { rules_ = std::move(rules); }

  // Gives ConnectionFacts::leaves_line of one that is accepted now.
  bool leaves_line() const { return rules_.lines.on_close; }
  // A connection is in the table, or has left it, and that is told as an event.
  void OnAccepted(const LiveConnection& live);
  void OnClosed(const LiveConnection& live);
  // The connection `id`, which another process has accepted, goes on: from now
  // on its lines are written here.
  void Follow(int64_t id);
  // One was closed at once, and was never in the table.
  void OnDropped(const AnyConnection& connection, const ConnectionFacts& facts);
  // Ends the lines of connections that are open: another process writes them.
  void Stop() { open_.clear(); }

 private:
  // A connection that leaves lines while it is open.
  class Open final : public DelayQueue::Entry {
   public:
    Open(ListenerAccessLog& log, int64_t id, std::shared_ptr<DelayQueue> queue)
        : log_(log), id_(id), queue_(std::move(queue)) {
      queue_->Join(*this);
    }
    ~Open() { queue_->Leave(*this); }

   private:
    void OnDelayOver() override;

    ListenerAccessLog& log_;
    const int64_t id_;
    // Shared with those that were accepted under the same spec.
    const std::shared_ptr<DelayQueue> queue_;
  };

  void Tell(AccessEvent event, const AnyConnection& connection,
            const ConnectionFacts& facts);

  AccessLog& log_;
  TimeSource& time_;
  const ConnectionTable& connections_;
  const std::string listener_id_;
  Rules rules_;
  std::map<int64_t, Open> open_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_LISTENER_ACCESS_LOG_H_
