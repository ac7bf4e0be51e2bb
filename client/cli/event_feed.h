// EventFeed: events for as long as there is a daemon, and on from there when it
// is back.
#ifndef PORTREEVE_CLIENT_CLI_EVENT_FEED_H_
#define PORTREEVE_CLIENT_CLI_EVENT_FEED_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/exit_status.h"
#include "client/cli/notes.h"
#include "client/cli/resume.h"
#include "client/cli/session.h"
#include "client/watch.h"
#include "client/watch_position.h"
#include "portreeve/v1/event.pb.h"

namespace portreeve::cli {

// Threads: one.
class EventFeed {
 public:
  enum class Next {
    kGoOn,
    kStartAnew,  // With a snapshot: what is missing cannot be made up for.
  };
  struct Start {
    bool is_new_daemon = false;  // It is the first watch of this daemon.
    bool has_snapshot = false;   // It begins with one.
  };
  struct Callbacks {
    // A watch counts.
    std::function<void(const Start&)> on_start;
    // The error is what the verb ends with.
    std::function<absl::StatusOr<Next>(const v1::Event&)> on_event;
  };

  // `session`, `resume` and `notes` must outlive it.  `request` is that of the
  // first watch; one that names an instance ends with that.
  EventFeed(Session& session, Resume& resume, Notes& notes,
            const v1::WatchEventsRequest& request)
      : session_(session),
        resume_(resume),
        notes_(notes),
        is_bound_(!request.instance_id().empty()),
        position_(request) {}
  EventFeed(const EventFeed&) = delete;
  EventFeed& operator=(const EventFeed&) = delete;

  // Runs until --timeout.  Errors: the first try has failed, or what is no loss
  // of the daemon, or is one for good.
  absl::StatusOr<ExitStatus> Run(const Callbacks& callbacks);

 private:
  // Reads until the end of a watch; OK where another one is to begin anew.
  absl::Status ReadAll(client::Watch& watch, const Callbacks& callbacks);

  Session& session_;
  Resume& resume_;
  Notes& notes_;
  const bool is_bound_;
  client::WatchPosition position_;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_EVENT_FEED_H_
