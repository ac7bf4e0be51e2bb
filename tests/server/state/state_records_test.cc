#include "server/state/state_records.h"

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <string>

#include "server/api/errors.h"

namespace portreeve::server {
namespace {

using google::protobuf::util::MessageDifferencer;

v1::Listener OpenListener() {
  v1::Listener listener;
  listener.set_name("listeners/web");
  listener.set_uid("0b64ddd6-2d4e-4d0c-9f5b-6d1d7f1c7a53");
  listener.mutable_spec()->mutable_where_to_listen()->mutable_inet();
  (*listener.mutable_spec()->mutable_labels())["tier"] = "front";
  v1::ListenerStatus& status = *listener.mutable_status();
  status.set_state(v1::LISTENER_STATE_LISTENING);
  status.mutable_listening_on()->mutable_inet()->set_port(8080);
  status.mutable_create_time()->set_seconds(1700000000);
  status.set_num_connections(3);
  status.set_effective_backlog(128);
  return listener;
}

v1::Listener ClosedOne() {
  v1::Listener listener = OpenListener();
  v1::ListenerStatus& status = *listener.mutable_status();
  status.set_state(v1::LISTENER_STATE_CLOSED);
  status.set_is_closed(true);
  status.set_close_finished(true);
  status.set_handlers_determined(true);
  status.set_num_connections(0);
  status.set_accepted_total(1);
  status.set_dropped_total(2);
  status.set_handler_errors_total(3);
  status.set_bytes_received_total(4);
  status.set_bytes_sent_total(5);
  status.mutable_close_time()->set_seconds(1700000001);
  status.set_close_cause(v1::CLOSE_CAUSE_CALLED);
  (*status.mutable_closed_by_reason())["PEER_CLOSED"] = 1;
  return listener;
}

TEST(StateRecordsTest, AnOpenListenerIsKeptWithoutItsCounts) {
  StateListener record;
  Keep(OpenListener(), 0, record);
  EXPECT_TRUE(MessageDifferencer::Equals(record.spec(), OpenListener().spec()));
  EXPECT_EQ(record.uid(), OpenListener().uid());
  EXPECT_EQ(record.bound().inet().port(), 8080);
  EXPECT_EQ(record.create_time().seconds(), 1700000000);
  EXPECT_FALSE(record.close_wanted());
  EXPECT_FALSE(record.has_close());
}

TEST(StateRecordsTest, AClosedOneComesBackAsItWas) {
  StateListener record;
  Keep(ClosedOne(), 7, record);
  EXPECT_TRUE(record.close_wanted());
  EXPECT_EQ(record.close().number(), 7);
  const auto parsed = ParseRow(RowOf("web", record));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(
      MessageDifferencer::Equals(ClosedListener("web", *parsed), ClosedOne()));
}

TEST(StateRecordsTest, OneThatTheEndOfTheDaemonHasClosedIsKeptOpen) {
  v1::Listener listener = ClosedOne();
  listener.mutable_status()->set_close_cause(v1::CLOSE_CAUSE_SHUTDOWN);
  StateListener record;
  Keep(listener, 7, record);
  EXPECT_FALSE(record.close_wanted());
  EXPECT_FALSE(record.has_close());
}

TEST(StateRecordsTest, WhatANewerVersionHasWrittenStays) {
  StateListener record;
  Keep(OpenListener(), 0, record);
  ListenerRow row = RowOf("web", record);
  row.record += std::string("\xfa\x3f\x03new", 6);  // Field 1023.
  auto parsed = ParseRow(row);
  ASSERT_TRUE(parsed.ok());
  Keep(ClosedOne(), 7, *parsed);
  const std::string again = RowOf("web", *parsed).record;
  EXPECT_NE(again.find("\xfa\x3f\x03new"), std::string::npos);
}

// Adds field 1023, which no version has yet.
void AddUnknown(google::protobuf::Message& message, const std::string& text) {
  message.GetReflection()->MutableUnknownFields(&message)->AddLengthDelimited(
      1023, text);
}

TEST(StateRecordsTest, WhatANewerVersionHasWrittenIntoTheSpecStays) {
  v1::Listener listener = OpenListener();
  listener.mutable_spec()->mutable_handler()->mutable_forward();
  StateListener record;
  Keep(listener, 0, record);
  v1::ListenerSpec& spec = *record.mutable_spec();
  AddUnknown(spec, "<spec>");
  AddUnknown(*spec.mutable_handler(), "<handler>");
  AddUnknown(*spec.mutable_handler()->mutable_forward(), "<forward>");
  AddUnknown(*spec.mutable_where_to_listen()->mutable_inet(), "<inet>");
  auto parsed = ParseRow(RowOf("web", record));
  ASSERT_TRUE(parsed.ok());

  // It is written twice: nothing is there twice then.
  listener.mutable_spec()->set_max_connections(7);
  Keep(listener, 0, *parsed);
  Keep(listener, 0, *parsed);
  EXPECT_EQ(parsed->spec().max_connections(), 7);
  const std::string again = RowOf("web", *parsed).record;
  for (const char* text : {"<spec>", "<handler>", "<forward>", "<inet>"}) {
    const size_t first = again.find(text);
    EXPECT_NE(first, std::string::npos) << text;
    EXPECT_EQ(first, again.rfind(text)) << text;
  }

  // What belonged to another handler goes with it.
  listener.mutable_spec()->mutable_handler()->mutable_echo();
  Keep(listener, 0, *parsed);
  const std::string other = RowOf("web", *parsed).record;
  EXPECT_EQ(other.find("<forward>"), std::string::npos);
  EXPECT_NE(other.find("<handler>"), std::string::npos);
}

TEST(StateRecordsTest, ARequestComesBack) {
  StateRequest record;
  record.set_caller("ipv4:127.0.0.1");
  record.set_request_id("r-1");
  record.set_fingerprint_sha256(std::string(32, 'f'));
  *record.mutable_answer() = OpenListener();
  const RequestRow row = RowOf(5, record);
  EXPECT_EQ(row.seq, 5);
  EXPECT_EQ(row.request_id, "r-1");
  const auto parsed = ParseRow(row);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(MessageDifferencer::Equals(*parsed, record));
}

TEST(StateRecordsTest, WhatIsNoRecordIsRefusedByName) {
  StateListener listener;
  Keep(OpenListener(), 0, listener);
  ListenerRow row = RowOf("web", listener);
  row.record.resize(row.record.size() - 1);
  const absl::Status status = ParseRow(row).status();
  EXPECT_EQ(ReasonOf(status), "STATE_DAMAGED");
  EXPECT_EQ(status.message(), "listeners/web: it is no listener");
  EXPECT_FALSE(ParseRow(RowOf("No Id", listener)).ok());
  EXPECT_FALSE(ParseRow(ListenerRow{"web", ""}).ok());
  EXPECT_EQ(ParseRow(RequestRow{5, "r-1", ""}).status().message(),
            "requests/5: it is no request");
  StateRequest request;
  request.set_request_id("r-1");
  EXPECT_FALSE(ParseRow(RowOf(5, request)).ok());
  request.set_fingerprint_sha256(std::string(32, 'f'));
  EXPECT_TRUE(ParseRow(RowOf(5, request)).ok());
  EXPECT_FALSE(ParseRow(RequestRow{5, "other", RowOf(5, request).record}).ok());
}

}  // namespace
}  // namespace portreeve::server
