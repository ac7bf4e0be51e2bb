// WatchPosition: from where a watch that broke goes on.
#ifndef PORTREEVE_CLIENT_WATCH_POSITION_H_
#define PORTREEVE_CLIENT_WATCH_POSITION_H_

#include "portreeve/v1/event.pb.h"

namespace portreeve::client {

// Follows what a watch gives.  The request that it has goes on behind that:
// nothing is missed and nothing comes twice, but for what the daemon tells by
// `gap`.  It knows more of where it is with a `progress_interval` in the
// request, which has the daemon tell it at once and in every silence.
//
//   WatchPosition position(request);
//   while (true) {
//     auto watch = client.WatchEvents(position.request());
//     ...  // Take() each event that its Next() gives, until that breaks.
//     ...  // INSTANCE_CHANGED or REVISION_UNKNOWN: StartAnew().
//   }
//
// Threads: one.
class WatchPosition {
 public:
  // `request` is that of the first watch.
  explicit WatchPosition(const v1::WatchEventsRequest& request)
      : first_(request), request_(request) {}

  // The watch has given `event`, the next in its order.
  void Take(const v1::Event& event);

  // The daemon was started anew, and counts its revisions anew: the next watch
  // begins with a snapshot where the first one did, else with the first event
  // of that daemon, whichever it is.
  void StartAnew();

  // Gives the request of the next watch.  Before the first event it is that of
  // the first one; where that began with what happened from then on, so will
  // this.  As long as a snapshot is not complete it begins with a new one.
  const v1::WatchEventsRequest& request() const { return request_; }

 private:
  const v1::WatchEventsRequest first_;
  v1::WatchEventsRequest request_;
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_WATCH_POSITION_H_
