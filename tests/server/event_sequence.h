// What can be said of a sequence of events.
#ifndef PORTREEVE_TESTS_SERVER_EVENT_SEQUENCE_H_
#define PORTREEVE_TESTS_SERVER_EVENT_SEQUENCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "portreeve/v1/event.pb.h"

namespace portreeve::testing {

// "limit_reached" and so on.
std::string KindOf(const v1::Event& event);

// The name of the listener that an event of a listener or of a connection is
// about; empty for dialled connections.
std::string ListenerOf(const v1::Event& event);

// Fails the test unless `events` tell every revision from `first` to `last`, in
// order and once, or that it is missing: how many are missing.
int64_t CheckComplete(const std::vector<v1::Event>& events, int64_t first,
                      int64_t last);

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_EVENT_SEQUENCE_H_
