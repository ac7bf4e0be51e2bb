// What `portreeve describe` prints of a listener: the whole text.
#include "client/cli/describe_text.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>

namespace portreeve::cli {
namespace {

using ::testing::HasSubstr;

v1::Listener Of(const std::string& text) {
  v1::Listener listener;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &listener));
  return listener;
}

std::string Describe(const v1::Listener& listener) {
  return DescribeListener(listener, {}, absl::FromUnixSeconds(1000));
}

// No two values are the same.
v1::Listener Served() {
  return Of(R"(
      name: "listeners/web"
      spec {
        handler { remote { claim_timeout { seconds: 10 } } }
        max_connections: 20 max_pending_connections: 4096
        max_accepts_per_batch: 1 buffer_age_limit { at_most { seconds: 120 } }
        on_handler_error: ON_HANDLER_ERROR_RAISE
        access_log { mode: ACCESS_LOG_MODE_OFF }
        labels { key: "a" value: "<b>" }
      }
      status {
        state: LISTENER_STATE_LISTENING source: LISTENER_SOURCE_CLIENT
        listening_on { inet { address: "127.0.0.1" port: 40123 } }
        create_time { seconds: 100 } opened_time { seconds: 200 }
        num_connections: 3 effective_backlog: 4096 backlog_connections: 4
        accepted_total: 50 dropped_total: 6 handler_errors_total: 7
        bytes_received_total: 8 bytes_sent_total: 9 workers: 11
        closed_by_reason { key: "UPSTREAM_UNREACHABLE" value: 2 }
        closed_by_reason { key: "PEER_CLOSED" value: 31 }
        closed_by_reason { key: "UPSTREAM_UNREACHABLE/DNS_FAILURE" value: 1 }
      })");
}

TEST(DescribeTextTest, AListenerWithAllOfIt) {
  EXPECT_EQ(Describe(Served()),
            R"(listeners/web
status
  state                   LISTENING
  listening on            tcp:127.0.0.1:40123
  source                  CLIENT
  created                 1970-01-01T00:01:40.000Z
  opened                  1970-01-01T00:03:20.000Z
  connections             3 of at most 20
  waiting to be accepted  4 of at most 4096
  accepted                50
  dropped                 6
  handler errors          7
  bytes received          8
  bytes sent              9
  clients that serve it   11
spec
  handler                    remote
  claim timeout              10s (default)
  max connections            20
  max pending connections    4096 (default)
  max accepts per batch      1 (default)
  buffer age limit           2m (default)
  on handler error           RAISE (default)
  drop incoming connections  no (default)
  access log                 OFF
  labels                     a=<b>
closes by reason
  PEER_CLOSED                       31
  UPSTREAM_UNREACHABLE              2
  UPSTREAM_UNREACHABLE/DNS_FAILURE  1
newest events
  none
)");
}

TEST(DescribeTextTest, WhatIsNotTheDefaultIsNotSaidToBe) {
  v1::Listener listener = Served();
  v1::ListenerSpec& spec = *listener.mutable_spec();
  spec.mutable_handler()
      ->mutable_remote()
      ->mutable_claim_timeout()
      ->set_seconds(30);
  spec.set_max_pending_connections(64);
  spec.set_max_accepts_per_batch(2);
  spec.mutable_buffer_age_limit()->mutable_unlimited();
  spec.set_on_handler_error(v1::ON_HANDLER_ERROR_IGNORE);
  spec.set_drop_incoming_connections(true);
  const std::string text = Describe(listener);
  for (const char* line :
       {"claim timeout              30s\n", "max pending connections    64\n",
        "max accepts per batch      2\n",
        "buffer age limit           unlimited\n",
        "on handler error           IGNORE\n",
        "drop incoming connections  yes\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  spec.mutable_handler()
      ->mutable_forward()
      ->mutable_connect_timeout()
      ->set_seconds(30);
  EXPECT_THAT(Describe(listener),
              HasSubstr("connect timeout            30s (default)\n"));
}

TEST(DescribeTextTest, WhoWaitsIsToldOnlyWhereItIsKnown) {
  v1::Listener listener = Served();
  v1::ListenerStatus& status = *listener.mutable_status();
  status.clear_backlog_connections();
  EXPECT_THAT(Describe(listener),
              HasSubstr("waiting to be accepted  0 of at most 4096\n"));
  status.mutable_listening_on()->mutable_unix_socket()->set_path("/s");
  EXPECT_THAT(Describe(listener),
              HasSubstr("waiting to be accepted  - of at most 4096\n"));
  status.set_state(v1::LISTENER_STATE_CLOSED);
  status.mutable_close_time()->set_seconds(300);
  status.clear_effective_backlog();
  const std::string text = Describe(listener);
  EXPECT_THAT(text, HasSubstr("waiting to be accepted  -\n"));
  EXPECT_THAT(text,
              HasSubstr("closed                  1970-01-01T00:05:00.000Z\n"));
}

}  // namespace
}  // namespace portreeve::cli
