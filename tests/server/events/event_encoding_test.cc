// What is encoded from packed connections and from records of listeners, beside
// what protobuf makes of the same event.
#include "server/events/event_encoding.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "server/api/timestamp.h"
#include "server/events/close_counts.h"
#include "server/events/connection_record.h"
#include "server/events/listener_record.h"

namespace portreeve::server {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kSecond = 1'000'000'000;

AnyAddress Tcp(const std::string& address, int port) {
  return Inet::Address(asio::ip::make_address(address),
                       static_cast<uint16_t>(port));
}

// With any bytes that the kernel may give; none: a socket without a name.
AnyAddress UnixPath(const std::string& path) {
  Unix::Address address;
  if (path.empty()) return address;
  std::memcpy(
      static_cast<sockaddr_un*>(static_cast<void*>(address.data()))->sun_path,
      path.data(), path.size());
  address.resize(offsetof(sockaddr_un, sun_path) + path.size());
  return address;
}

void ConnectionOf(v1::Event& event, v1::EventKind kind,
                  const v1::Connection& connection) {
  if (kind == v1::EVENT_KIND_CONNECTION_ACCEPTED) {
    *event.mutable_connection_accepted()->mutable_connection() = connection;
  } else if (kind == v1::EVENT_KIND_CONNECTION_DROPPED) {
    *event.mutable_connection_dropped()->mutable_connection() = connection;
  } else {
    *event.mutable_connection_closed()->mutable_connection() = connection;
  }
}

constexpr v1::EventKind kKinds[] = {v1::EVENT_KIND_CONNECTION_ACCEPTED,
                                    v1::EVENT_KIND_CONNECTION_DROPPED,
                                    v1::EVENT_KIND_CONNECTION_CLOSED};

class EventEncodingTest : public ::testing::Test {
 protected:
  // Both ways lead to the same bytes, for each kind of event.
  void ExpectSame() {
    for (const v1::EventKind kind : kKinds) {
      v1::Event event;
      event.set_revision(stamp_.revision);
      event.set_instance_id(std::string(stamp_.instance_id));
      *event.mutable_time() = TimestampOf(stamp_.time);
      ConnectionOf(event, kind, ToProto(record_, listener_));
      const std::string expected = EncodeEvent(event);
      BackwardWriter writer;
      WriteConnectionEvent(stamp_, kind, listener_, Pack(record_).bytes(),
                           writer);
      ASSERT_EQ(writer.bytes(), expected) << event.DebugString();
      // The string is what a response has as its only event.
      v1::WatchEventsResponse response;
      ASSERT_TRUE(response.ParseFromString(std::string(writer.bytes())));
      ASSERT_EQ(response.events_size(), 1);
      EXPECT_EQ(response.events(0).SerializeAsString(),
                event.SerializeAsString());
      EXPECT_EQ(KindOf(response.events(0)), kind);
    }
  }

  const AnyAddress peer_ = Tcp("127.0.0.1", 40'000);
  const AnyAddress local_ = Tcp("127.0.0.1", 80);
  EventStamp stamp_{123'456, "11111111-2222-4333-8444-555555555555",
                    1'700'000'000 * kSecond + 5};
  std::string listener_ = "listeners/a";
  ConnectionRecord record_ = [this] {
    ConnectionRecord record;
    record.id = 17;
    record.direction = v1::DIRECTION_INBOUND;
    record.state = v1::CONNECTION_STATE_OPEN;
    record.peer = &peer_;
    record.local = &local_;
    record.create_time = 1'700'000'000 * kSecond + 123'456'789;
    return record;
  }();
};

TEST_F(EventEncodingTest, OfOneThatWasAccepted) { ExpectSame(); }

TEST_F(EventEncodingTest, OfOneWithEveryField) {
  const AnyAddress upstream = UnixPath("/run/upstream.sock");
  record_.upstream = &upstream;
  record_.bytes_received = 1;
  record_.bytes_sent = 300;
  record_.bytes_to_write = 100'000;
  record_.close_time = record_.create_time + 1;
  record_.close_reason = v1::CLOSE_REASON_PEER_RESET;
  ExpectSame();
}

TEST_F(EventEncodingTest, OfOnesThatFailed) {
  const AnyAddress upstream = Tcp("10.0.0.1", 80);
  ConnectionFailure failure;
  record_.failure = &failure;
  ExpectSame();  // Nothing was tried, and there are no words.
  record_.upstream = &upstream;
  for (int reason = 0; reason <= static_cast<int>(Reason::kOther); ++reason) {
    failure.reason = static_cast<Reason>(reason);
    for (const int error_number : {0, 1, 111, 4095, -1}) {
      failure.error_number = error_number;
      for (const size_t size :
           {size_t{0}, size_t{1}, size_t{127}, size_t{128}, size_t{512}}) {
        failure.message = std::string(size, 'm');
        ExpectSame();
      }
    }
  }
}

TEST_F(EventEncodingTest, OfDialledOnes) {
  listener_ = "";
  record_.direction = v1::DIRECTION_OUTBOUND;
  ExpectSame();
}

// What is 0 is not sent, but for messages.
TEST_F(EventEncodingTest, OfNothing) {
  const AnyAddress none = Inet::Address();
  stamp_ = {};
  listener_ = "";
  record_ = {};
  record_.id = 1;  // Of which the name is made.
  record_.peer = &none;
  record_.local = &none;
  ExpectSame();
}

// Each number in each place on its own, so that none is taken for another.
TEST_F(EventEncodingTest, OfNumbersOfEverySize) {
  std::vector<int64_t> numbers = {kMax, kMin, -1};
  for (int shift = 0; shift < 63; ++shift) {
    numbers.push_back(int64_t{1} << shift);
    numbers.push_back((int64_t{1} << shift) - 1);
  }
  const ConnectionRecord plain = record_;
  for (const int64_t number : numbers) {
    for (int64_t* const place :
         {&record_.bytes_received, &record_.bytes_sent, &record_.bytes_to_write,
          &record_.create_time, &record_.close_time, &stamp_.revision,
          &stamp_.time}) {
      *place = number;
      ExpectSame();
      record_ = plain;
    }
    if (number < 1) continue;
    record_.id = number;
    ExpectSame();
    record_ = plain;
  }
}

TEST_F(EventEncodingTest, OfTimesRoundTheSecond) {
  for (const int64_t seconds : {-2, -1, 0, 1, 127, 128}) {
    for (const int64_t nanos : {-1, 0, 1, 999'999'999}) {
      record_.create_time = seconds * kSecond + nanos;
      record_.close_time = seconds * kSecond - nanos;
      stamp_.time = record_.create_time;
      ExpectSame();
    }
  }
}

TEST_F(EventEncodingTest, OfEveryEnumValue) {
  for (int i = 0; i < v1::CloseReason_ARRAYSIZE; ++i) {
    record_.close_reason = static_cast<v1::CloseReason>(i);
    ExpectSame();
  }
  for (int i = 0; i < v1::ConnectionState_ARRAYSIZE; ++i) {
    record_.state = static_cast<v1::ConnectionState>(i);
    ExpectSame();
  }
}

// In each place: nothing is longer or shorter than what it stands for.
TEST_F(EventEncodingTest, OfEveryAddress) {
  std::vector<AnyAddress> addresses = {
      Tcp("0.0.0.0", 0),
      Tcp("255.255.255.255", 65'535),
      Tcp("1.20.255.10", 127),
      Tcp("100.9.99.0", 128),
      Tcp("::", 0),
      Tcp("::1", 443),
      Tcp("2001:db8:1:2:3:4:5:6", 65'535),
      Tcp("::ffff:127.0.0.1", 8080),
      Tcp("fe80::1%1", 22),
      Tcp("fe80::1%4294967295", 22),
      UnixPath(""),
      UnixPath("/"),
      UnixPath("/run/x.sock"),
      UnixPath(std::string("\0abstract", 9)),
      UnixPath("/tmp/\xc3\xa4\xff\xc3"),
      UnixPath(std::string(107, 'x')),
      UnixPath(std::string(108, '\xff')),
  };
  for (int i = 0; i < 256; ++i) {
    addresses.push_back(Tcp("10.0.0." + std::to_string(i), i * 257));
  }
  const ConnectionRecord plain = record_;
  for (const AnyAddress& address : addresses) {
    for (const AnyAddress** const place :
         {&record_.peer, &record_.local, &record_.upstream}) {
      *place = &address;
      ExpectSame();
      record_ = plain;
    }
    record_.peer = record_.local = record_.upstream = &address;
    ExpectSame();
    record_ = plain;
  }
}

TEST_F(EventEncodingTest, OfTheLongest) {
  const ConnectionFailure failure{Reason::kAddressNotAvailable,
                                  std::string(512, 'm'), -1};
  record_.failure = &failure;
  const AnyAddress longest = UnixPath(std::string(108, '\xff'));
  record_.peer = record_.local = record_.upstream = &longest;
  record_.id = kMax;
  record_.bytes_received = record_.bytes_sent = record_.bytes_to_write = kMin;
  record_.create_time = record_.close_time = kMin;
  listener_ = "listeners/" + std::string(63, 'a');
  stamp_.revision = kMax;
  stamp_.time = kMin;
  ExpectSame();
}

// An open connection leaves one event behind: this is what it costs beside the
// 8 bytes of its place.
TEST_F(EventEncodingTest, ThePackedFormIsSmall) {
  EXPECT_EQ(Pack(record_).bytes().size(), 35u);
  record_.bytes_received = 1;
  EXPECT_EQ(Pack(record_).bytes().size(), 67u);
  const ConnectionFailure failure{Reason::kNoRoute, "no way", 101};
  record_.failure = &failure;
  EXPECT_EQ(Pack(record_).bytes().size(), 67u + 7 + 6);
}

TEST_F(EventEncodingTest, TheLastTimeIsThatOfTheCloseOnceThereIsOne) {
  EXPECT_EQ(LastTimeOf(Pack(record_).bytes()), record_.create_time);
  record_.bytes_sent = 5;
  EXPECT_EQ(LastTimeOf(Pack(record_).bytes()), record_.create_time);
  record_.close_time = record_.create_time + 7;
  EXPECT_EQ(LastTimeOf(Pack(record_).bytes()), record_.close_time);
}

class ListenerEventTest : public ::testing::Test {
 protected:
  ListenerEventTest() {
    auto& inet = *spec_.mutable_where_to_listen()->mutable_inet();
    inet.set_address("127.0.0.1");
    inet.set_reuse_address(true);
    spec_.mutable_handler()->mutable_echo();
    spec_.set_max_connections(10'000);
    listening_on_.mutable_inet()->set_address("127.0.0.1");
    listening_on_.mutable_inet()->set_port(40'000);
  }

  // What ToProto() is to give, field by field.
  v1::Listener Expected() const {
    v1::Listener listener;
    listener.set_name(std::string(record_.name));
    listener.set_uid(std::string(record_.uid));
    *listener.mutable_spec() = spec_;
    v1::ListenerStatus& status = *listener.mutable_status();
    status.set_state(record_.state);
    status.set_is_closed(record_.is_closed);
    status.set_close_finished(record_.close_finished);
    status.set_handlers_determined(record_.handlers_determined);
    if (listening_on_.has_inet()) {
      *status.mutable_listening_on() = listening_on_;
    }
    if (record_.opened_time != 0) {
      *status.mutable_opened_time() = TimestampOf(record_.opened_time);
    }
    status.set_source(record_.source);
    if (!failure_.reason().empty()) *status.mutable_failure() = failure_;
    status.set_num_connections(static_cast<int>(record_.num_connections));
    status.set_effective_backlog(static_cast<int>(record_.effective_backlog));
    status.set_accepted_total(record_.accepted_total);
    status.set_dropped_total(record_.dropped_total);
    status.set_handler_errors_total(record_.handler_errors_total);
    status.set_bytes_received_total(record_.bytes_received_total);
    status.set_bytes_sent_total(record_.bytes_sent_total);
    *status.mutable_create_time() = TimestampOf(record_.create_time);
    if (record_.close_time != 0) {
      *status.mutable_close_time() = TimestampOf(record_.close_time);
    }
    status.set_close_cause(record_.close_cause);
    return listener;
  }

  void ExpectSame() {
    const std::string spec = spec_.SerializeAsString();
    const std::string listening_on = listening_on_.SerializeAsString();
    record_.spec = spec;
    record_.listening_on = listening_on;
    const std::string failure = failure_.SerializeAsString();
    record_.failure = failure;
    EXPECT_EQ(ToProto(record_).SerializeAsString(),
              Expected().SerializeAsString());
    for (int i = v1::EVENT_KIND_LISTENER_CREATED;
         i <= v1::EVENT_KIND_LISTENER_DELETED; ++i) {
      v1::Event event;
      event.set_revision(stamp_.revision);
      event.set_instance_id(std::string(stamp_.instance_id));
      *event.mutable_time() = TimestampOf(stamp_.time);
      // Fields 4 to 9; each has a message with the listener as its field 1.
      const auto* kind =
          v1::Event::descriptor()->FindOneofByName("kind")->field(
              i - v1::EVENT_KIND_LISTENER_CREATED);
      auto* message = event.GetReflection()->MutableMessage(&event, kind);
      message->GetReflection()
          ->MutableMessage(message,
                           kind->message_type()->FindFieldByName("listener"))
          ->CopyFrom(Expected());
      BackwardWriter writer;
      WriteListenerEvent(stamp_, static_cast<v1::EventKind>(i), record_,
                         writer);
      ASSERT_EQ(writer.bytes(), EncodeEvent(event)) << event.DebugString();
    }
  }

  v1::ListenerSpec spec_;
  v1::Address listening_on_;
  v1::ListenerFailure failure_;
  EventStamp stamp_{7, "11111111-2222-4333-8444-555555555555",
                    1'700'000'000 * kSecond + 5};
  ListenerRecord record_ = [] {
    ListenerRecord record;
    record.name = "listeners/a";
    record.uid = "99999999-2222-4333-8444-555555555555";
    record.state = v1::LISTENER_STATE_LISTENING;
    record.effective_backlog = 64;
    record.create_time = 1'700'000'000 * kSecond;
    return record;
  }();
};

TEST_F(ListenerEventTest, OfOneThatListens) { ExpectSame(); }

TEST_F(ListenerEventTest, OfOneWithEveryField) {
  record_.state = v1::LISTENER_STATE_CLOSED;
  record_.is_closed = record_.close_finished = true;
  record_.handlers_determined = true;
  record_.num_connections = 3;
  record_.accepted_total = kMax;
  record_.dropped_total = 2;
  record_.handler_errors_total = 1;
  record_.bytes_received_total = kMax - 1;
  record_.bytes_sent_total = 1;
  record_.close_time = record_.create_time + 1;
  record_.close_cause = v1::CLOSE_CAUSE_ACCEPT_FAILED;
  ExpectSame();
}

// A map has its entries in any order.
TEST_F(ListenerEventTest, OfOneWhoseConnectionsWereClosed) {
  const std::string spec = spec_.SerializeAsString();
  const std::string listening_on = listening_on_.SerializeAsString();
  record_.spec = spec;
  record_.listening_on = listening_on;
  CloseCounts closes;
  record_.closes = &closes;
  EXPECT_EQ(ToProto(record_).status().closed_by_reason_size(), 0);
  std::map<std::string, int64_t> expected;
  for (int i = 1; i < v1::CloseReason_ARRAYSIZE; ++i) {
    if (!v1::CloseReason_IsValid(i)) continue;
    const auto reason = static_cast<v1::CloseReason>(i);
    for (int j = 0; j < i; ++j) closes.Count(reason);
    expected[v1::CloseReason_Name(reason).substr(13)] = i;
  }
  for (int i = 0; i < 200; ++i) closes.CountFailure(Reason::kConnectRefused);
  closes.CountFailure(Reason::kOther);
  expected["UPSTREAM_UNREACHABLE"] += 201;
  expected["UPSTREAM_UNREACHABLE/CONNECT_REFUSED"] = 200;
  expected["UPSTREAM_UNREACHABLE/INTERNAL"] = 1;
  const v1::Listener listener = ToProto(record_);
  const auto& map = listener.status().closed_by_reason();
  EXPECT_EQ((std::map<std::string, int64_t>(map.begin(), map.end())), expected);
  // The rest is as without.
  v1::Listener rest = listener;
  rest.mutable_status()->clear_closed_by_reason();
  EXPECT_EQ(rest.SerializeAsString(), Expected().SerializeAsString());
}

TEST_F(ListenerEventTest, OfOneWithoutAnything) {
  record_ = ListenerRecord();
  spec_.Clear();
  listening_on_.Clear();
  ExpectSame();
}

TEST_F(ListenerEventTest, OfOneThatCouldNotBeOpened) {
  record_.state = v1::LISTENER_STATE_FAILED;
  record_.source = v1::LISTENER_SOURCE_CLIENT;
  record_.opened_time = 5'000'000'007;
  failure_.set_reason("ADDRESS_IN_USE");
  failure_.set_message("bind: Address already in use");
  failure_.set_attempts(3);
  ExpectSame();
}

// It does not fit on the stack, by little and by much.
TEST_F(ListenerEventTest, OfOneWithALongSpec) {
  for (size_t size = BackwardWriter::kOnStack - 400;
       size <= BackwardWriter::kOnStack; ++size) {
    spec_.mutable_handler()
        ->mutable_forward()
        ->mutable_upstream()
        ->mutable_inet()
        ->set_host(std::string(size, 'x'));
    ExpectSame();
  }
  spec_.mutable_handler()
      ->mutable_forward()
      ->mutable_upstream()
      ->mutable_inet()
      ->set_host(std::string(1'000'000, 'x'));
  ExpectSame();
}

}  // namespace
}  // namespace portreeve::server
