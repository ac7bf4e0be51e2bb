// RandomEvents: events of every kind, about many listeners.
#ifndef PORTREEVE_TESTS_SERVER_RANDOM_EVENTS_H_
#define PORTREEVE_TESTS_SERVER_RANDOM_EVENTS_H_

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "lib/net/address.h"
#include "server/events/event_log.h"
#include "server/events/event_ring.h"

namespace portreeve::testing {

// The same seed gives the same events, but for their times.
class RandomEvents {
 public:
  // The listeners are "listeners/0" to "listeners/N-1".
  RandomEvents(uint32_t seed, int num_listeners);

  // Appends an event of any kind.
  void Append(server::EventLog& log);
  // Appends one whose bytes depend on nothing but the seed.
  void AppendConnection(server::EventLog& log);

  const std::vector<server::SharedName>& names() const { return names_; }

 private:
  // Less than `bound`.
  int Below(int bound);
  int64_t Number();
  server::SharedName Name();
  const AnyAddress* Address();
  void AppendMessage(server::EventLog& log);
  void AppendListener(server::EventLog& log);

  std::mt19937 random_;
  std::vector<server::SharedName> names_;
  std::vector<AnyAddress> addresses_;
};

// What `log` gives to whoever asks, as a text: its identity, its bounds and
// totals, each event, and whether events were lost, to several filters.
std::string AllOf(const server::EventLog& log,
                  const std::vector<server::SharedName>& names);

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_RANDOM_EVENTS_H_
