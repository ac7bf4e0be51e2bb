#include "client/cli/listener_hints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "client/cli/describe_text.h"
#include "client/cli/format.h"

namespace portreeve::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ListenerHintsTest : public ::testing::Test {
 protected:
  ListenerHintsTest() {
    listener_.set_name("listeners/web");
    v1::ListenerSpec& spec = *listener_.mutable_spec();
    spec.set_max_connections(10);
    spec.set_max_pending_connections(64);
    spec.set_max_accepts_per_batch(1);
    spec.set_on_handler_error(v1::ON_HANDLER_ERROR_RAISE);
    spec.mutable_buffer_age_limit()->mutable_at_most()->set_seconds(120);
    spec.mutable_handler()->mutable_echo();
    status().set_state(v1::LISTENER_STATE_LISTENING);
    status().set_effective_backlog(64);
  }

  v1::ListenerSpec& spec() { return *listener_.mutable_spec(); }
  v1::ListenerStatus& status() { return *listener_.mutable_status(); }
  v1::Event& AddEvent(int64_t seconds) {
    v1::Event& event = events_.emplace_back();
    event.set_revision(static_cast<int64_t>(events_.size()));
    event.mutable_time()->set_seconds(seconds);
    return event;
  }
  std::vector<std::string> Hints() {
    return HintsOf(listener_, events_, absl::FromUnixSeconds(1000));
  }

  v1::Listener listener_;
  std::vector<v1::Event> events_;
};

TEST_F(ListenerHintsTest, OneThatIsWellHasNone) {
  status().set_num_connections(9);
  (*status().mutable_closed_by_reason())["PEER_CLOSED"] = 100;
  (*status().mutable_closed_by_reason())["PEER_RESET"] = 9;
  EXPECT_THAT(Hints(), IsEmpty());
}

TEST_F(ListenerHintsTest, AtItsLimit) {
  status().set_num_connections(10);
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("as it may, 10: others wait")));
  AddEvent(900).mutable_limit_reached();
  AddEvent(988).mutable_limit_reached();
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("10 (last told 12s ago)")));
}

TEST_F(ListenerHintsTest, NobodyServesIt) {
  spec().mutable_handler()->mutable_remote();
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("nobody serves it")));
  status().set_workers(1);
  EXPECT_THAT(Hints(), IsEmpty());
  spec().set_drop_incoming_connections(true);
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("drops every connection")));
}

TEST_F(ListenerHintsTest, TheKernelHasCutTheBacklog) {
  spec().set_max_pending_connections(1024);
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("backlog from 1024 to 64")));
}

TEST_F(ListenerHintsTest, ManyWait) {
  status().set_backlog_connections(32);
  EXPECT_THAT(Hints(), IsEmpty());
  status().set_backlog_connections(33);
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("33 of at most 64 clients wait")));
}

TEST_F(ListenerHintsTest, WhyItIsNotOpen) {
  status().set_state(v1::LISTENER_STATE_FAILED);
  v1::ListenerFailure& failure = *status().mutable_failure();
  failure.set_reason("ADDRESS_IN_USE");
  failure.set_message("bind tcp:127.0.0.1:80: another\nprocess has it");
  failure.set_attempts(1);
  failure.mutable_next_attempt_time()->set_seconds(1002);
  // What the daemon says cannot begin a line of its own.
  EXPECT_THAT(
      Hints(),
      ElementsAre("it is not open: ADDRESS_IN_USE: bind tcp:127.0.0.1:80: "
                  "another\\nprocess has it; 1 attempt, the next at "
                  "1970-01-01T00:16:42.000Z"));
  failure.clear_next_attempt_time();
  failure.set_attempts(2);
  EXPECT_THAT(Hints(),
              ElementsAre(HasSubstr("; 2 attempts, and none by itself")));
}

TEST_F(ListenerHintsTest, ClosesThatNobodyWanted) {
  auto& closes = *status().mutable_closed_by_reason();
  closes["PEER_CLOSED"] = 1;
  closes["UPSTREAM_UNREACHABLE"] = 3;
  closes["UPSTREAM_UNREACHABLE/CONNECT_REFUSED"] = 2;
  closes["UPSTREAM_UNREACHABLE/DNS_FAILURE"] = 1;
  EXPECT_THAT(Hints(), ElementsAre("3 of 4 closes are UPSTREAM_UNREACHABLE "
                                   "(CONNECT_REFUSED 2, DNS_FAILURE 1)"));
  // One in ten is worth a hint.
  closes["PEER_CLOSED"] = 27;
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("3 of 30 closes are UPSTREAM")));
  closes["PEER_CLOSED"] = 28;
  EXPECT_THAT(Hints(), IsEmpty());
}

TEST_F(ListenerHintsTest, WhichClosesNobodyWanted) {
  const std::set<v1::CloseReason> kWanted = {
      v1::CLOSE_REASON_PEER_CLOSED, v1::CLOSE_REASON_HANDLER_DONE,
      v1::CLOSE_REASON_CALLED,      v1::CLOSE_REASON_LISTENER_CLOSED,
      v1::CLOSE_REASON_DROPPED,     v1::CLOSE_REASON_UPSTREAM_CLOSED,
      v1::CLOSE_REASON_CANCELLED,   v1::CLOSE_REASON_SHUTDOWN};
  for (int i = 1; i < v1::CloseReason_ARRAYSIZE; ++i) {
    if (!v1::CloseReason_IsValid(i)) continue;
    const auto reason = static_cast<v1::CloseReason>(i);
    status().clear_closed_by_reason();
    (*status().mutable_closed_by_reason())[EnumText(reason)] = 1;
    if (kWanted.count(reason) > 0) {
      EXPECT_THAT(Hints(), IsEmpty()) << EnumText(reason);
    } else {
      EXPECT_THAT(Hints(), ElementsAre("1 of 1 close is " + EnumText(reason)));
    }
  }
  // There are others, beside the one.
  status().clear_closed_by_reason();
  (*status().mutable_closed_by_reason())["PEER_RESET"] = 1;
  (*status().mutable_closed_by_reason())["PEER_CLOSED"] = 2;
  EXPECT_THAT(Hints(), ElementsAre("1 of 3 closes are PEER_RESET"));
}

TEST_F(ListenerHintsTest, AcceptingHasFailed) {
  v1::Event& event = AddEvent(940);
  event.mutable_accept_failed()->set_message("accept: Too many open files");
  EXPECT_THAT(Hints(), ElementsAre("accepting has failed, 1m ago: accept: Too "
                                   "many open files"));
}

TEST_F(ListenerHintsTest, OneThatIsClosedSaysWhyAndNothingOfServing) {
  status().set_state(v1::LISTENER_STATE_CLOSED);
  status().set_is_closed(true);
  status().set_close_cause(v1::CLOSE_CAUSE_HANDLER_ERROR);
  status().set_num_connections(10);
  EXPECT_THAT(Hints(), ElementsAre("it is closed: HANDLER_ERROR; 10 of its "
                                   "connections live on"));
  status().set_num_connections(0);
  EXPECT_THAT(Hints(), ElementsAre("it is closed: HANDLER_ERROR"));
}

TEST_F(ListenerHintsTest, ADescriptionHasTheHintsFirstAndSaysWhatIsDefault) {
  status().set_num_connections(10);
  AddEvent(900).mutable_limit_reached()->set_listener("listeners/web");
  const std::string text =
      DescribeListener(listener_, events_, absl::FromUnixSeconds(1000));
  EXPECT_THAT(text, HasSubstr("listeners/web\n  ! it has as many"));
  EXPECT_THAT(text, HasSubstr("max accepts per batch      1 (default)\n"));
  EXPECT_THAT(text, HasSubstr("max connections            10\n"));
  EXPECT_THAT(text, HasSubstr("buffer age limit           2m (default)\n"));
  EXPECT_THAT(text, HasSubstr("newest events\n  1 1970-01-01T00:15:00.000Z "
                              "limit_reached listeners/web"));
  EXPECT_THAT(text, Not(HasSubstr("closes by reason")));
  EXPECT_THAT(text, Not(HasSubstr("serve it")));
}

// Events are found by the name, which another listener may have had before.
TEST_F(ListenerHintsTest, WhatWasBeforeItListensIsNoHint) {
  status().set_num_connections(10);
  status().mutable_opened_time()->set_seconds(950);
  status().mutable_opened_time()->set_nanos(5);
  AddEvent(940).mutable_accept_failed()->set_message("accept: no descriptor");
  v1::Event& limit = AddEvent(950);
  limit.mutable_limit_reached();
  limit.mutable_time()->set_nanos(4);
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("as it may, 10: others wait")));
  limit.mutable_time()->set_nanos(5);
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("10 (last told 49s ago)")));
  AddEvent(951).mutable_accept_failed()->set_message("accept: no memory");
  EXPECT_THAT(Hints(),
              ElementsAre(HasSubstr("last told"),
                          "accepting has failed, 49s ago: accept: no memory"));
}

TEST_F(ListenerHintsTest, NoNumberIsTooLarge) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  auto& closes = *status().mutable_closed_by_reason();
  closes["PEER_CLOSED"] = kMost;
  closes["PEER_RESET"] = kMost;
  status().set_backlog_connections(std::numeric_limits<int32_t>::max());
  EXPECT_THAT(Hints(),
              ElementsAre(HasSubstr("2147483647 of at most 64 clients wait"),
                          "9223372036854775807 of 9223372036854775807 closes "
                          "are PEER_RESET"));
}

TEST_F(ListenerHintsTest, ADescriptionSaysHowManyWaitWhereThatIsKnown) {
  const auto waiting = [this] {
    const std::string text =
        DescribeListener(listener_, events_, absl::FromUnixSeconds(1000));
    const std::string title = "  waiting to be accepted  ";
    const size_t at = text.find(title);
    if (at == std::string::npos) return std::string("no such row");
    const size_t begin = at + title.size();
    return text.substr(begin, text.find('\n', begin) - begin);
  };
  status().set_backlog_connections(3);
  status().mutable_listening_on()->mutable_inet();
  EXPECT_EQ(waiting(), "3 of at most 64");
  status().set_backlog_connections(0);
  EXPECT_EQ(waiting(), "0 of at most 64");
  for (const v1::ListenerState state :
       {v1::LISTENER_STATE_CLOSING, v1::LISTENER_STATE_CLOSED}) {
    status().set_state(state);
    EXPECT_EQ(waiting(), "- of at most 64");
  }
  status().set_state(v1::LISTENER_STATE_LISTENING);
  status().mutable_listening_on()->mutable_unix_socket();
  EXPECT_EQ(waiting(), "- of at most 64");
  status().clear_listening_on();
  status().set_state(v1::LISTENER_STATE_FAILED);
  status().clear_effective_backlog();
  EXPECT_EQ(waiting(), "-");
}

}  // namespace
}  // namespace portreeve::cli
