// AccessLine: what the access log says of a connection at one moment.
#ifndef PORTREEVE_SERVER_EVENTS_ACCESS_LINE_H_
#define PORTREEVE_SERVER_EVENTS_ACCESS_LINE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "lib/base/time_source.h"
#include "server/api/utc_text.h"
#include "server/events/connection_record.h"

namespace portreeve::server {

enum class AccessEvent {
  kOpen,   // It was accepted.
  kAlive,  // It is open still.
  kClose,  // It is closed.
  kDrop,   // It was accepted, and closed at once.
};

// What a line is made of.
struct AccessEntry {
  AccessEvent event = AccessEvent::kClose;
  // When it happened, in nanoseconds since 1970.
  int64_t time = 0;
  const ConnectionRecord* connection = nullptr;
  absl::string_view listener_id;  // "" for a dialled one.
  // How long connecting to the upstream took.
  std::optional<Duration> connect;
  // An object of JSON; "" for none.
  absl::string_view labels;
};

// Makes lines, each in the memory of the one before.
// Threads: one at a time.
class AccessLine {
 public:
  // Gives an object of JSON without a line feed, with these keys in this order;
  // what is not there is left out: time, event (open, alive, close or drop),
  // listener, connection, peer, local, upstream; of close and alive received,
  // sent and duration; connect; of close and drop reason; labels.  Durations
  // are in seconds, to the microsecond.  The text is valid until the next call.
  absl::string_view Of(const AccessEntry& entry);

  // Gives {"time":"...","event":"lost","lines":3}, which stands in place of
  // lines that could not be kept.
  static std::string OfLost(int64_t lines);

 private:
  UtcText time_;
  std::string line_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_EVENTS_ACCESS_LINE_H_
