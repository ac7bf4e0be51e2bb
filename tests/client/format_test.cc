// Tables, views and event lines.
#include "client/cli/format.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>

#include "client/cli/event_text.h"
#include "client/cli/printable.h"
#include "tests/testing/shown_text.h"

namespace portreeve::cli {
namespace {

template <typename Message>
Message Of(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

constexpr char kWeb[] = R"(
  name: "listeners/web" uid: "u-1"
  spec {
    where_to_listen { inet { address: "127.0.0.1" reuse_address: true } }
    handler { forward {
      upstream { inet { host: "up" port: 80 bind_to_address: "10.0.0.9"
                        bind_to_port: 99 } }
      connect_timeout { seconds: 30 } } }
    max_connections: 10 max_pending_connections: 64 max_accepts_per_batch: 2
    buffer_age_limit { at_most { seconds: 120 } }
    on_handler_error: ON_HANDLER_ERROR_RAISE
    labels { key: "b" value: "2" } labels { key: "a" value: "1" }
    access_log {
      mode: ACCESS_LOG_MODE_ON_OPEN_AND_CLOSE every { seconds: 3600 }
    }
  }
  status {
    state: LISTENER_STATE_CLOSED is_closed: true close_finished: true
    listening_on { inet { address: "127.0.0.1" port: 40123 } }
    num_connections: 3 effective_backlog: 50 accepted_total: 7
    dropped_total: 1 handler_errors_total: 2 bytes_received_total: 11
    bytes_sent_total: 12 create_time { seconds: 1700000000 nanos: 250999999 }
    close_time { seconds: 1700000001 } close_cause: CLOSE_CAUSE_CALLED
    closed_by_reason { key: "UPSTREAM_UNREACHABLE" value: 3 }
    closed_by_reason { key: "PEER_CLOSED" value: 4 }
    closed_by_reason { key: "UPSTREAM_UNREACHABLE/DNS_FAILURE" value: 3 }
  })";

constexpr char kConnection[] = R"(
  name: "connections/7" listener: "listeners/web"
  direction: DIRECTION_INBOUND state: CONNECTION_STATE_OPEN
  peer { inet { address: "::1" port: 5 } } local { unix_socket {} }
  bytes_received: 1 bytes_sent: 2 bytes_to_write: 3
  create_time { seconds: 1700000000 })";

TEST(FormatTest, ListsConnections) {
  v1::ListConnectionsResponse response;
  *response.add_connections() = Of<v1::Connection>(kConnection);
  EXPECT_EQ(ConnectionTable(response),
            "NAME           LISTENER       DIRECTION  STATE  PEER         LOCAL"
            "  UPSTREAM  RECEIVED  SENT  WAITING  SINCE\n"
            "connections/7  listeners/web  INBOUND    OPEN   tcp:[::1]:5  unix:"
            "  -         1         2     3        2023-11-14T22:13:20.000Z\n");
}

TEST(FormatTest, ShowsThatAListenerIsDualStack) {
  auto listener = Of<v1::Listener>(kWeb);
  auto& inet =
      *listener.mutable_spec()->mutable_where_to_listen()->mutable_inet();
  inet.set_dual_stack(true);
  EXPECT_NE(ListenerView(listener).find(" dual-stack=yes "), std::string::npos);
}

TEST(FormatTest, ShowsEverythingOfAListener) {
  EXPECT_EQ(ListenerView(Of<v1::Listener>(kWeb)),
            R"(name:                      listeners/web
uid:                       u-1
state:                     CLOSED
failure:                   -
source:                    UNSPECIFIED
listening on:              tcp:127.0.0.1:40123
asked for:                 tcp:127.0.0.1:0 reuse-address=yes reuse-port=no )"
            R"(dual-stack=no bind-to-interface=-
handler:                   forward=tcp:up:80 connect-timeout=30s )"
            R"(bind-to-address=10.0.0.9 bind-to-port=99
on handler error:          RAISE
connections:               3
max connections:           10
max pending connections:   64 (effective 50)
max accepts per batch:     2
buffer age limit:          2m
drop incoming connections: no
labels:                    a=1,b=2
access log:                ON_OPEN_AND_CLOSE,every=1h
accepted:                  7
dropped:                   1
handler errors:            2
closed by reason:          PEER_CLOSED=4 UPSTREAM_UNREACHABLE=3 )"
            R"(UPSTREAM_UNREACHABLE/DNS_FAILURE=3
bytes received:            11
bytes sent:                12
created:                   2023-11-14T22:13:20.250Z
opened:                    -
closed:                    2023-11-14T22:13:21.000Z
close cause:               CALLED
is closed:                 yes
close finished:            yes
handlers determined:       no
)");
}

TEST(FormatTest, ShowsEverythingOfAConnection) {
  EXPECT_EQ(ConnectionView(Of<v1::Connection>(
                std::string(kConnection) +
                R"(upstream { inet { address: "10.0.0.1" port: 80 } }
                   failure { reason: "CONNECT_REFUSED" message: "no\nway"
                             error_number: 111 }
                   close_time { seconds: 1700000002 }
                   close_reason: CLOSE_REASON_UPSTREAM_UNREACHABLE)")),
            R"(name:           connections/7
listener:       listeners/web
direction:      INBOUND
state:          OPEN
peer:           tcp:[::1]:5
local:          unix:
upstream:       tcp:10.0.0.1:80
failure:        CONNECT_REFUSED: no\nway
bytes received: 1
bytes sent:     2
bytes to write: 3
created:        2023-11-14T22:13:20.000Z
closed:         2023-11-14T22:13:22.000Z
close reason:   UPSTREAM_UNREACHABLE
)");
  const std::string open = ConnectionView(Of<v1::Connection>(kConnection));
  EXPECT_NE(open.find("failure:        -\n"), std::string::npos) << open;
  EXPECT_NE(open.find("close reason:   -\n"), std::string::npos) << open;
}

TEST(FormatTest, ShowsValuesThatItDoesNotKnowAsNumbers) {
  EXPECT_EQ(EnumText(static_cast<v1::ListenerState>(99)), "99");
  EXPECT_EQ(EnumText(v1::LISTENER_STATE_UNSPECIFIED), "UNSPECIFIED");
}

TEST(EventTextTest, EveryKindHasItsLine) {
  const std::string listener = std::string("listener {") + kWeb + "}";
  const std::string connection = std::string("connection {") + kConnection +
                                 " close_reason: CLOSE_REASON_PEER_CLOSED }";
  const std::string failed =
      std::string("connection {") + kConnection +
      R"( upstream { inet { address: "10.0.0.1" port: 80 } }
          close_reason: CLOSE_REASON_UPSTREAM_UNREACHABLE
          close_time { seconds: 1700000001 nanos: 250000999 }
          failure { reason: "CONNECT_REFUSED" message: "no\nway" } })";
  const std::string ended =
      "listeners/web address=tcp:127.0.0.1:40123 cause=CALLED connections=3";
  const std::string about =
      "connections/7 listener=listeners/web direction=INBOUND "
      "peer=tcp:[::1]:5 local=unix:";
  const std::pair<std::string, std::string> kLines[] = {
      {"listener_created {" + listener + "}",
       "listener_created listeners/web address=tcp:127.0.0.1:40123 "
       "handler=forward=tcp:up:80"},
      {"listener_updated {" + listener + "}",
       "listener_updated listeners/web handler=forward=tcp:up:80 "
       "max-connections=10 max-pending-connections=64 "
       "max-accepts-per-batch=2 buffer-age-limit=2m on-handler-error=RAISE "
       "drop-incoming-connections=no labels=a=1,b=2 "
       "access-log=ON_OPEN_AND_CLOSE,every=1h"},
      {"listener_close_started {" + listener + "}",
       "listener_close_started " + ended},
      {"listener_close_finished {" + listener + "}",
       "listener_close_finished " + ended},
      {"listener_handlers_determined {" + listener + "}",
       "listener_handlers_determined " + ended},
      {"listener_deleted {" + listener + "}", "listener_deleted listeners/web"},
      {"connection_accepted {" + connection + "}",
       "connection_accepted " + about},
      {"connection_dropped {" + connection + "}",
       "connection_dropped " + about},
      {"connection_closed {" + connection + "}",
       "connection_closed " + about +
           " reason=PEER_CLOSED received=1 sent=2 upstream=- "
           "duration=-"},
      {"connection_closed {" + failed + "}",
       "connection_closed " + about +
           " reason=UPSTREAM_UNREACHABLE received=1 sent=2 "
           "upstream=tcp:10.0.0.1:80 duration=1.25s "
           "failure=CONNECT_REFUSED: no\\nway"},
      {R"(handler_error { listener: "listeners/web" connection: "connections/7"
            message: "no\nway" outcome: HANDLER_VERDICT_RAISE })",
       "handler_error listeners/web connection=connections/7 outcome=RAISE "
       "message=no\\nway"},
      {R"(limit_reached { listener: "listeners/web" limit: 10 })",
       "limit_reached listeners/web limit=10"},
      {R"(accept_failed { listener: "listeners/web" error_number: 24
            message: "Too many open files" })",
       "accept_failed listeners/web errno=24 message=Too many open files"},
      {"snapshot_done {}", "snapshot_done -"},
      {"gap { first_revision: 3 last_revision: 42 count: 40 }",
       "gap - first=3 last=42 count=40"},
      {"", "unknown -"},
  };
  for (const auto& [kind, text] : kLines) {
    SCOPED_TRACE(text);
    const auto event =
        Of<v1::Event>("revision: 42 time { seconds: 1700000000 } " + kind);
    EXPECT_EQ(EventText(event), "42 2023-11-14T22:13:20.000Z " + text);
  }
}

TEST(PrintableTest, EscapesWhatDoesNotShowItself) {
  for (const auto& row : testing::kShownTexts) {
    EXPECT_EQ(Printable(row.text), row.bytes);
    // JSON has no control characters within its strings.
    if (std::string(row.text).find('\x01') == std::string::npos) {
      EXPECT_EQ(PrintableJson(row.text), row.json);
    }
  }
}

TEST(PrintableTest, BytesThatAreNotUtf8AreEscaped) {
  EXPECT_EQ(Printable("a\x9b"
                      "2J"),
            "a\\x9b2J");
  EXPECT_EQ(Printable("\xc0\x8a \xe0\x82\x9b \xed\xa0\x80 \xf4\x90\x80\x80"),
            "\\xc0\\x8a \\xe0\\x82\\x9b \\xed\\xa0\\x80 "
            "\\xf4\\x90\\x80\\x80");
  EXPECT_EQ(Printable("\xe2\x80"), "\\xe2\\x80");
}

TEST(PrintableTest, JsonKeepsItsLines) {
  EXPECT_EQ(PrintableJson("{\n\t\"a\": \"\\n\u202e\"\n}"),
            "{\n\t\"a\": \"\\n\\u202e\"\n}");
}

TEST(PrintableTest, LeavesTheRestAsItIs) {
  EXPECT_EQ(Printable("a b \xC3\xA9 \"\\"), "a b \xC3\xA9 \"\\");
  EXPECT_EQ(Printable("a\nb\r\x1B[2J\x7F"), "a\\nb\\x0d\\x1b[2J\\x7f");
  EXPECT_EQ(Printable("\xC2\x9B"
                      "2J \xC2\xA0"),
            "\\xc2\\x9b2J \xC2\xA0");
  EXPECT_EQ(Printable(std::string("\0", 1)), "\\x00");
}

}  // namespace
}  // namespace portreeve::cli
