#include "tests/server/event_sequence.h"

#include <gtest/gtest.h>

namespace portreeve::testing {

std::string KindOf(const v1::Event& event) {
  return v1::Event::descriptor()->FindFieldByNumber(event.kind_case())->name();
}

std::string ListenerOf(const v1::Event& event) {
  switch (event.kind_case()) {
    case v1::Event::kListenerCreated:
      return event.listener_created().listener().name();
    case v1::Event::kListenerCloseStarted:
      return event.listener_close_started().listener().name();
    case v1::Event::kListenerCloseFinished:
      return event.listener_close_finished().listener().name();
    case v1::Event::kListenerHandlersDetermined:
      return event.listener_handlers_determined().listener().name();
    case v1::Event::kListenerDeleted:
      return event.listener_deleted().listener().name();
    case v1::Event::kConnectionAccepted:
      return event.connection_accepted().connection().listener();
    case v1::Event::kConnectionClosed:
      return event.connection_closed().connection().listener();
    default:
      ADD_FAILURE() << KindOf(event);
      return "";
  }
}

int64_t CheckComplete(const std::vector<v1::Event>& events, int64_t first,
                      int64_t last) {
  int64_t next = first;
  int64_t missing = 0;
  for (const auto& event : events) {
    if (event.has_gap()) {
      EXPECT_EQ(event.gap().first_revision(), next);
      EXPECT_EQ(event.gap().last_revision(), event.revision());
      EXPECT_EQ(event.gap().count(), event.revision() - next + 1);
      EXPECT_GE(event.gap().count(), 1);
      missing += event.gap().count();
    } else {
      EXPECT_EQ(event.revision(), next);
    }
    next = event.revision() + 1;
  }
  EXPECT_EQ(next, last + 1);
  return missing;
}

}  // namespace portreeve::testing
