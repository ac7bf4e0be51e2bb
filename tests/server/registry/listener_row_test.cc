#include "server/registry/listener_row.h"

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <string>

namespace portreeve::server {
namespace {

using google::protobuf::util::MessageDifferencer;

class ListenerRowTest : public ::testing::Test {
 protected:
  ListenerRowTest() {
    v1::ListenerSpec spec;
    spec.mutable_where_to_listen()->mutable_inet();
    (*spec.mutable_labels())["tier"] = "front";
    spec_ = spec.SerializeAsString();
    v1::Address address;
    address.mutable_inet()->set_port(8080);
    address_ = address.SerializeAsString();
    closes_.Count(v1::CLOSE_REASON_PEER_CLOSED);
    record_.name = "listeners/web";
    record_.uid = "0b64ddd6-2d4e-4d0c-9f5b-6d1d7f1c7a53";
    record_.spec = spec_;
    record_.listening_on = address_;
    record_.state = v1::LISTENER_STATE_LISTENING;
    record_.num_connections = 3;
    record_.effective_backlog = 128;
    record_.accepted_total = 1;
    record_.dropped_total = 2;
    record_.handler_errors_total = 3;
    record_.bytes_received_total = int64_t{1} << 40;
    record_.bytes_sent_total = 5;
    record_.create_time = 1'700'000'000'123'456'789;
    record_.opened_time = record_.create_time;
    record_.closes = &closes_;
  }

  void Close(v1::CloseCause cause) {
    record_.state = v1::LISTENER_STATE_CLOSED;
    record_.is_closed = true;
    record_.close_finished = true;
    record_.handlers_determined = true;
    record_.close_cause = cause;
    record_.close_time = record_.create_time + 1;
  }

  void ExpectAsKept(int64_t close_number) {
    StateListener kept;
    Keep(ToProto(record_), close_number, kept);
    kept.set_source(StateListener::SOURCE_INHERITED);
    StateListener encoded;
    ASSERT_TRUE(encoded.ParseFromString(
        EncodeRow(record_, close_number, StateListener::SOURCE_INHERITED)));
    EXPECT_TRUE(MessageDifferencer::Equals(encoded, kept))
        << encoded.DebugString() << kept.DebugString();
  }

  CloseCounts closes_;
  std::string spec_;
  std::string address_;
  ListenerRecord record_;
};

TEST_F(ListenerRowTest, OneThatIsOpenIsWrittenAsItIsKept) { ExpectAsKept(0); }

TEST_F(ListenerRowTest, OneThatHasFailedIsWrittenAsItIsKept) {
  record_.listening_on = "";
  record_.state = v1::LISTENER_STATE_FAILED;
  ExpectAsKept(0);
}

TEST_F(ListenerRowTest, OneThatIsClosedIsWrittenAsItIsKept) {
  Close(v1::CLOSE_CAUSE_CALLED);
  ExpectAsKept(7);
  record_.close_time = 0;
  record_.handlers_determined = false;
  record_.closes = nullptr;
  ExpectAsKept(7);
}

TEST_F(ListenerRowTest, OneThatTheEndHasClosedIsWrittenAsItIsKept) {
  Close(v1::CLOSE_CAUSE_SHUTDOWN);
  ExpectAsKept(7);
}

TEST_F(ListenerRowTest, ARequestIsWrittenAsItIsKept) {
  StateRequest kept;
  kept.set_caller("ipv4:127.0.0.1");
  kept.set_request_id("r-1");
  kept.set_fingerprint_sha256(std::string(32, 'f'));
  *kept.mutable_answer() = ToProto(record_);
  StateRequest encoded;
  ASSERT_TRUE(encoded.ParseFromString(
      EncodeRow({kept.caller(), kept.request_id()},
                {5, kept.fingerprint_sha256(), Encode(record_).bytes})));
  EXPECT_TRUE(MessageDifferencer::Equals(encoded, kept));
}

}  // namespace
}  // namespace portreeve::server
