// ListenerTable: what `portreeve list` prints.
#ifndef PORTREEVE_CLIENT_CLI_LISTENER_TABLE_H_
#define PORTREEVE_CLIENT_CLI_LISTENER_TABLE_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/cli/text_table.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::cli {

enum class ListenerColumns { kUsual, kWide };

class ListenerTable {
 public:
  explicit ListenerTable(ListenerColumns columns) : columns_(columns) {}

  // Gives a header and a line for each listener.  `knows_backlog` says whether
  // their `backlog_connections` are set where they can be.
  std::string Lines(const std::vector<v1::Listener>& listeners,
                    bool knows_backlog, absl::Time now);

  // Gives a line to come under them, for what an event has told.
  std::string Line(const v1::Listener& listener, absl::Time now) const;

  // Gives the line of a listener that is not there any more.
  std::string DeletedLine(const v1::Listener& listener, absl::Time now) const;

  // Whether the two have the same line of kUsual.
  static bool LookAlike(const v1::Listener& a, const v1::Listener& b);

 private:
  ListenerColumns columns_;
  TextTable table_;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_LISTENER_TABLE_H_
