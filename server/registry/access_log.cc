#include "server/registry/access_log.h"

#include <limits>
#include <new>

#include "server/api/timestamp.h"
#include "server/handlers/handlers.h"

namespace portreeve::server {
namespace {

std::optional<Duration> ConnectTimeOf(const AnyConnection& connection,
                                      const ConnectionFacts& facts) {
  // The others alone are a forward handler's that has reached its upstream, and
  // of one that is held only its process knows.
  if (facts.upstream == nullptr || facts.failure != nullptr || facts.is_held) {
    return std::nullopt;
  }
  return ForwardConnectTime(connection);
}

}  // namespace

void AccessLog::Tell(AccessEvent event, const AnyConnection& connection,
                     const ConnectionFacts& facts,
                     absl::string_view listener_id, absl::string_view labels) {
  const ConnectionRecord record = RecordOf(connection, facts);
  AccessEntry entry;
  entry.event = event;
  entry.time = event == AccessEvent::kAlive ? UnixNanosNow()
               : record.close_time != 0     ? record.close_time
                                            : record.create_time;
  entry.connection = &record;
  entry.listener_id = listener_id;
  entry.connect = ConnectTimeOf(connection, facts);
  entry.labels = labels;
  std::optional<std::string_view> line;
  try {
    const absl::string_view text = line_.Of(entry);
    line.emplace(text.data(), text.size());
  } catch (const std::bad_alloc&) {
    // It stays without.
  }
  write_(line);
}

}  // namespace portreeve::server
