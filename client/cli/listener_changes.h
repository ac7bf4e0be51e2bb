// ListenerChanges: what `portreeve list --watch` prints of each event.
#ifndef PORTREEVE_CLIENT_CLI_LISTENER_CHANGES_H_
#define PORTREEVE_CLIENT_CLI_LISTENER_CHANGES_H_

#include <map>
#include <string>

#include "absl/time/time.h"
#include "client/cli/listener_table.h"
#include "portreeve/v1/event.pb.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::cli {

// Follows a watch of listeners that begins with a snapshot, and may begin anew
// with another one.
class ListenerChanges {
 public:
  explicit ListenerChanges(ListenerColumns columns) : table_(columns) {}

  // What is to be watched, beside `initial_snapshot`.
  static void AddKinds(v1::WatchEventsRequest& request);

  // A stream begins with a snapshot: what was had of one that did not come to
  // its end is forgotten.
  void OnSnapshotBegun();

  // Gives what is to be printed: at the end of the first snapshot the table, of
  // a later one a line for each listener that is new, changed or gone, and of
  // any other event the line of the listener that it is about; "" where there
  // is nothing to be printed.
  std::string Take(const v1::Event& event, absl::Time now);

 private:
  std::string OnSnapshotDone(absl::Time now);
  std::string OnChange(const v1::Listener& listener, absl::Time now);

  ListenerTable table_;
  bool has_table_ = false;
  bool in_snapshot_ = true;
  std::map<std::string, v1::Listener> snapshot_;
  std::map<std::string, v1::Listener> known_;  // As they were printed last.
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_LISTENER_CHANGES_H_
