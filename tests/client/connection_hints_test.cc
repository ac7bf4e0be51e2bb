#include "client/cli/connection_hints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "client/cli/describe_text.h"

namespace portreeve::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ConnectionHintsTest : public ::testing::Test {
 protected:
  ConnectionHintsTest() {
    listener_.set_name("listeners/web");
    listener_.mutable_spec()->mutable_handler()->mutable_echo();
    listener_.mutable_spec()
        ->mutable_buffer_age_limit()
        ->mutable_at_most()
        ->set_seconds(120);
    connection_.set_name("connections/c7");
    connection_.set_listener("listeners/web");
    connection_.set_direction(v1::DIRECTION_INBOUND);
    connection_.set_state(v1::CONNECTION_STATE_OPEN);
    connection_.mutable_create_time()->set_seconds(900);
    connection_.set_bytes_received(10);
    connection_.set_bytes_sent(2'000'000);
    tcp().set_state("ESTAB");
    tcp().set_congestion_window(10);
    tcp().set_segment_size(1000);
    tcp().set_acknowledged_bytes(2'000'000);
  }

  v1::TcpInfo& tcp() { return *connection_.mutable_tcp_info(); }
  std::vector<std::string> Hints() {
    return HintsOf(connection_, &listener_, absl::FromUnixSeconds(1000));
  }

  v1::Listener listener_;
  v1::Connection connection_;
};

TEST_F(ConnectionHintsTest, OneThatIsWellHasNone) {
  tcp().set_unacknowledged_segments(3);
  tcp().set_retransmits_total(19);  // Of 2000.
  tcp().mutable_since_sent()->set_seconds(59);
  tcp().mutable_since_received()->set_seconds(500);
  EXPECT_THAT(Hints(), IsEmpty());
  connection_.clear_tcp_info();
  EXPECT_THAT(Hints(), IsEmpty());
}

TEST_F(ConnectionHintsTest, ThePeerDoesNotRead) {
  connection_.set_bytes_to_write(300);
  tcp().set_unsent_bytes(20);
  EXPECT_THAT(Hints(),
              ElementsAre("its peer does not read: 300 bytes wait in the "
                          "daemon, and 20 in its kernel; it is closed "
                          "(BUFFER_AGE) if one waits for 2m"));
  // Its close has a limit of its own.
  connection_.set_state(v1::CONNECTION_STATE_CLOSING);
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("it is being closed"),
                                   "its peer does not read: 300 bytes wait in "
                                   "the daemon, and 20 in its kernel"));
  connection_.set_state(v1::CONNECTION_STATE_OPEN);
  listener_.mutable_spec()->mutable_buffer_age_limit()->mutable_unlimited();
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("; nothing limits for how long")));
  connection_.clear_bytes_to_write();
  EXPECT_THAT(Hints(), ElementsAre("its peer does not read: 20 bytes wait in "
                                   "its kernel"));
  // A unix socket.
  connection_.clear_tcp_info();
  connection_.set_bytes_to_write(1);
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("does not read: 1 byte waits")));
}

TEST_F(ConnectionHintsTest, APeerThatIsSlowIsNoneThatDoesNotRead) {
  connection_.set_bytes_to_write(300);
  EXPECT_THAT(Hints(), ElementsAre("300 bytes wait in the daemon for its "
                                   "peer"));
  tcp().set_unsent_bytes(20);
  tcp().set_unacknowledged_segments(10);
  EXPECT_THAT(
      Hints(),
      ElementsAre(HasSubstr("comes faster than its peer, or the path")));
  tcp().set_retransmits(1);
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("does not acknowledge"),
                                   HasSubstr("it retransmits 1 segment:")));
}

TEST_F(ConnectionHintsTest, SegmentsAreLost) {
  tcp().set_retransmits_total(20);
  EXPECT_THAT(Hints(), ElementsAre("it has sent 20 segments again since it "
                                   "began: the path loses some"));
  tcp().set_retransmits(4);
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("retransmits 4 segments")));
}

TEST_F(ConnectionHintsTest, AHalfIsClosed) {
  tcp().set_state("CLOSE-WAIT");
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("peer has closed its half")));
  for (const char* state : {"FIN-WAIT-1", "FIN-WAIT-2"}) {
    tcp().set_state(state);
    connection_.set_state(v1::CONNECTION_STATE_OPEN);
    EXPECT_THAT(Hints(), ElementsAre(HasSubstr("its own half is closed")));
    // That is how a close begins.
    connection_.set_state(v1::CONNECTION_STATE_CLOSING);
    EXPECT_THAT(Hints(), ElementsAre(HasSubstr("it is being closed")));
  }
  connection_.set_state(v1::CONNECTION_STATE_OPEN);
  tcp().set_state("UNCONN");
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("its socket has failed")));
}

TEST_F(ConnectionHintsTest, NothingGoesThrough) {
  tcp().mutable_since_sent()->set_seconds(3725);
  tcp().mutable_since_received()->set_seconds(4000);
  EXPECT_THAT(Hints(), ElementsAre("no data has gone either way for 1h2m5s"));
  tcp().mutable_since_received()->set_seconds(60);
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("for 1m")));
  tcp().set_unsent_bytes(1);
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("does not read")));
}

TEST_F(ConnectionHintsTest, EachStateButOpenIsToldOf) {
  connection_.set_close_reason(v1::CLOSE_REASON_CALLED);
  const std::pair<v1::ConnectionState, const char*> kStates[] = {
      {v1::CONNECTION_STATE_OPENING, "not connected yet: dialled 1m40s ago"},
      {v1::CONNECTION_STATE_UNCLAIMED, "accepted 1m40s ago, and no client"},
      {v1::CONNECTION_STATE_CLOSING, "it is being closed (CALLED)"},
      {v1::CONNECTION_STATE_CLOSED, "it has just been closed: CALLED"},
  };
  for (const auto& [state, hint] : kStates) {
    connection_.set_state(state);
    EXPECT_THAT(Hints(), ElementsAre(HasSubstr(hint)));
  }
  listener_.mutable_status()->set_is_closed(true);
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("has just been closed")));
  connection_.set_state(v1::CONNECTION_STATE_OPEN);
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("listener is closed, and it")));
}

TEST_F(ConnectionHintsTest, WithoutAnUpstreamItSaysWhy) {
  connection_.set_state(v1::CONNECTION_STATE_CLOSING);
  connection_.mutable_failure()->set_reason("CONNECT_REFUSED");
  connection_.mutable_failure()->set_message("connect\ntcp:127.0.0.1:9");
  EXPECT_THAT(Hints(), ElementsAre(HasSubstr("being closed"),
                                   "it has no upstream: CONNECT_REFUSED: "
                                   "connect\\ntcp:127.0.0.1:9"));
}

// A hint of waiting is there if and only if something waits, and one of
// retransmits if and only if there are some, whatever else there is.
TEST_F(ConnectionHintsTest, HintsOfWhatWaitsHoldWhateverElseThereIs) {
  const v1::Connection plain = connection_;
  for (int bits = 0; bits < 1 << 9; ++bits) {
    const auto has = [bits](int bit) { return (bits >> bit & 1) != 0; };
    connection_ = plain;
    if (has(0)) connection_.set_bytes_to_write(5);
    if (has(1)) tcp().set_unsent_bytes(7);
    if (has(2)) tcp().set_unacknowledged_segments(2);
    if (has(3)) tcp().set_retransmits(1);
    if (has(4)) tcp().set_retransmits_total(1'000);
    if (has(5)) tcp().set_state("CLOSE-WAIT");
    if (has(6)) tcp().mutable_since_sent()->set_seconds(100);
    if (has(6)) tcp().mutable_since_received()->set_seconds(100);
    if (has(7)) connection_.set_state(v1::CONNECTION_STATE_CLOSING);
    if (has(8)) connection_.clear_tcp_info();
    const bool tcp_known = !has(8);
    int num_waiting = 0;
    int num_losses = 0;
    int num_silent = 0;
    for (const v1::Listener* listener :
         {static_cast<const v1::Listener*>(nullptr),
          static_cast<const v1::Listener*>(&listener_)}) {
      const auto hints =
          HintsOf(connection_, listener, absl::FromUnixSeconds(1000));
      for (const std::string& hint : hints) {
        num_waiting += hint.find(" in the daemon") != std::string::npos ||
                               hint.find(" in its kernel") != std::string::npos
                           ? 1
                           : 0;
        num_losses += hint.find(" segment") != std::string::npos ? 1 : 0;
        num_silent += hint.find("no data") != std::string::npos ? 1 : 0;
      }
    }
    const bool waits = has(0) || (tcp_known && has(1));
    EXPECT_EQ(num_waiting, waits ? 2 : 0) << bits;
    EXPECT_EQ(num_losses, tcp_known && (has(3) || has(4)) ? 2 : 0) << bits;
    EXPECT_EQ(num_silent, tcp_known && has(6) && !waits && !has(7) ? 2 : 0)
        << bits;
  }
}

TEST_F(ConnectionHintsTest, TheDescriptionHasAllOfIt) {
  tcp().mutable_rtt()->set_nanos(104'000);
  tcp().mutable_rtt_variation()->set_nanos(52'000);
  tcp().set_retransmits_total(3);
  tcp().set_retransmits(1);
  tcp().set_unacknowledged_segments(1);
  tcp().set_received_bytes(10);
  tcp().mutable_since_sent()->set_seconds(5);
  tcp().mutable_since_received()->set_nanos(250'000'000);
  connection_.mutable_peer()->mutable_inet()->set_address("10.0.0.9");
  connection_.mutable_peer()->mutable_inet()->set_port(51814);
  std::vector<v1::Event> events(1);
  events[0].set_revision(4);
  *events[0].mutable_connection_accepted()->mutable_connection() = connection_;
  EXPECT_EQ(DescribeConnection(connection_, &listener_, events,
                               absl::FromUnixSeconds(1000)),
            "connections/c7\n"
            "  ! it retransmits 1 segment: lost on the path, or its peer "
            "is gone\n"
            "connection\n"
            "  state           OPEN\n"
            "  direction       INBOUND\n"
            "  listener        listeners/web (echo)\n"
            "  peer            tcp:10.0.0.9:51814\n"
            "  local           -\n"
            "  upstream        -\n"
            "  created         1970-01-01T00:15:00.000Z (1m40s ago)\n"
            "  bytes received  10\n"
            "  bytes sent      2000000\n"
            "  bytes to write  0\n"
            "TCP, as the kernel sees it\n"
            "  state              ESTAB\n"
            "  round trip         104us, varies by 52us\n"
            "  retransmits        3 (1 on the way now)\n"
            "  congestion window  10 segments of 1000 bytes\n"
            "  unsent             0 bytes\n"
            "  unacknowledged     1 segment\n"
            "  acknowledged       2000000 bytes\n"
            "  received           10 bytes\n"
            "  last sent          5s ago\n"
            "  last received      250ms ago\n"
            "newest events\n"
            "  4 1970-01-01T00:00:00.000Z connection_accepted connections/c7 "
            "listener=listeners/web direction=INBOUND peer=tcp:10.0.0.9:51814 "
            "local=-\n");
  connection_.clear_tcp_info();
  connection_.set_close_reason(v1::CLOSE_REASON_PEER_CLOSED);
  connection_.mutable_close_time()->set_seconds(999);
  const std::string text =
      DescribeConnection(connection_, nullptr, {}, absl::FromUnixSeconds(1000));
  EXPECT_THAT(text, Not(HasSubstr("TCP")));
  EXPECT_THAT(text, HasSubstr("listener        listeners/web (deleted)\n"));
  EXPECT_THAT(text, HasSubstr("close reason    PEER_CLOSED\n"));
  EXPECT_THAT(text, HasSubstr("(1s ago)\nnewest events\n  none\n"));
}

}  // namespace
}  // namespace portreeve::cli
