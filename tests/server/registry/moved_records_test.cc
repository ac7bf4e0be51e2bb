#include "server/registry/moved_records.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/api/convert.h"
#include "server/api/names.h"

namespace portreeve::server {
namespace {

using internal::v1::HandoverConnection;
using std::chrono::nanoseconds;

const AnyAddress kPeer = Unix::Address("/peer");
const AnyAddress kLocal = Unix::Address("/local");

FrozenConnection With(
    std::variant<FrozenEcho, FrozenDiscard, FrozenForward> handler) {
  FrozenConnection frozen;
  frozen.direct.id = 7;
  frozen.direct.peer = kPeer;
  frozen.direct.local = kLocal;
  frozen.handler = std::move(handler);
  return frozen;
}

// The record as the other process gets it: what Registry::Freeze() puts there,
// and what PutMoved() does.
HandoverConnection Sent(const FrozenConnection& frozen) {
  HandoverConnection record;
  v1::Connection& connection = *record.mutable_connection();
  connection.set_name(ConnectionName(frozen.direct.id));
  connection.set_bytes_received(frozen.direct.bytes_received);
  connection.set_bytes_sent(frozen.direct.bytes_sent);
  connection.set_bytes_to_write(
      static_cast<int64_t>(frozen.direct.bytes_to_write));
  connection.set_close_reason(ToProto(frozen.direct.reason));
  EXPECT_TRUE(PutMoved(frozen, record));
  HandoverConnection received;
  EXPECT_TRUE(received.ParseFromString(record.SerializeAsString()));
  return received;
}

absl::StatusOr<FrozenConnection> Read(const HandoverConnection& record) {
  return MovedOf(record, 7, kPeer, kLocal);
}

void ExpectTheSame(const FrozenConnection& frozen, const std::string& what) {
  const auto read = Read(Sent(frozen));
  ASSERT_TRUE(read.ok()) << what << " " << read.status();
  EXPECT_TRUE(*read == frozen) << what;
}

// Each sets one field to what it is not at first.
using Change = std::function<void(FrozenFlow&)>;
std::vector<Change> ChangesOfFlow() {
  const TimePoint then(nanoseconds(123'456'789'012));
  return {
      [](FrozenFlow& flow) { flow.blocked = !flow.blocked; },
      [](FrozenFlow& flow) { flow.ended = !flow.ended; },
      [](FrozenFlow& flow) { flow.shut = !flow.shut; },
      [](FrozenFlow& flow) { flow.pump.received = int64_t{1} << 40; },
      [](FrozenFlow& flow) { flow.pump.copy = std::string("a\0\xff", 3); },
      [](FrozenFlow& flow) { flow.pump.in_pipe = 1 << 20; },
      [then](FrozenFlow& flow) { flow.pump.held_since = then; },
      [](FrozenFlow& flow) { flow.pump.readable ^= true; },
      [](FrozenFlow& flow) { flow.pump.hung_up ^= true; },
      [](FrozenFlow& flow) { flow.pump.source_failed ^= true; },
      [](FrozenFlow& flow) { flow.pump.met_eof ^= true; },
      [](FrozenFlow& flow) { flow.pump.target_failed ^= true; },
      [](FrozenFlow& flow) { flow.pump.out_of_memory ^= true; },
      [](FrozenFlow& flow) { flow.pump.has_sent ^= true; },
      [](FrozenFlow& flow) { flow.pump.bulk ^= true; },
      [](FrozenFlow& flow) { flow.pump.looks_later ^= true; },
      [](FrozenFlow& flow) { flow.pump.splices ^= true; },
      [](FrozenFlow& flow) { flow.pump.short_reads_are_all ^= true; },
      [](FrozenFlow& flow) { flow.pump.no_delay ^= true; },
  };
}

TEST(MovedRecordsTest, EachFieldOfAFlowComesBackAlone) {
  const auto changes = ChangesOfFlow();
  // One that is new needs a change here, and a field of the record.
  EXPECT_EQ(changes.size(), 19u);
  for (size_t i = 0; i < changes.size(); ++i) {
    FrozenEcho echo;
    changes[i](echo.flow);
    EXPECT_FALSE(echo == FrozenEcho()) << i;
    ExpectTheSame(With(echo), absl::StrCat("echo ", i));
    for (const bool to_client : {false, true}) {
      FrozenForward forward;
      changes[i](to_client ? forward.to_client : forward.to_upstream);
      ExpectTheSame(With(forward), absl::StrCat("forward ", i, to_client));
    }
  }
}

TEST(MovedRecordsTest, EachFieldOfEveryConnectionComesBackAlone) {
  const TimePoint then(nanoseconds(987'654'321));
  const std::vector<std::function<void(FrozenDirect&)>> changes = {
      [](FrozenDirect& direct) {
        direct.buffer_age_limit = BufferAgeLimit::Unlimited();
      },
      [](FrozenDirect& direct) {
        direct.buffer_age_limit = BufferAgeLimit::AtMost(nanoseconds(5));
      },
      [](FrozenDirect& direct) { direct.sets_no_delay = true; },
      [](FrozenDirect& direct) { direct.bytes_received = int64_t{1} << 50; },
      [](FrozenDirect& direct) { direct.bytes_sent = int64_t{1} << 51; },
      [](FrozenDirect& direct) { direct.bytes_to_write = size_t{1} << 33; },
      [](FrozenDirect& direct) { direct.reason = CloseReason::kBufferAge; },
      [](FrozenDirect& direct) { direct.watches_writable = true; },
      [then](FrozenDirect& direct) { direct.force_close_at = then; },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    for (FrozenConnection frozen :
         {With(FrozenEcho()), With(FrozenDiscard()), With(FrozenForward())}) {
      changes[i](frozen.direct);
      ExpectTheSame(frozen, absl::StrCat(i));
    }
  }
  ExpectTheSame(With(FrozenDiscard{true}), "discard");
}

TEST(MovedRecordsTest, EachFieldOfAForwardComesBackAlone) {
  const TimePoint then(nanoseconds(555));
  const std::vector<std::function<void(FrozenForward&)>> changes = {
      [](FrozenForward& forward) { forward.is_unix = true; },
      [](FrozenForward& forward) {
        forward.upstream_age_limit = BufferAgeLimit::Unlimited();
      },
      [](FrozenForward& forward) {
        forward.upstream_age_limit = BufferAgeLimit::AtMost(nanoseconds(9));
      },
      [](FrozenForward& forward) { forward.keepalive_is_due = true; },
      [](FrozenForward& forward) { forward.connect_time = nanoseconds(0); },
      [](FrozenForward& forward) { forward.connect_time = nanoseconds(77); },
      [then](FrozenForward& forward) {
        forward.connecting =
            FrozenConnecting{then, false, "name:1", nanoseconds(11)};
      },
      [then](FrozenForward& forward) {
        forward.connecting =
            FrozenConnecting{then, true, "127.0.0.1:1", nanoseconds(0)};
      },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    FrozenForward forward;
    changes[i](forward);
    ExpectTheSame(With(forward), absl::StrCat(i));
  }
}

TEST(MovedRecordsTest, OneThatHoldsMoreThanAMessageTakesStays) {
  HandoverConnection record;
  FrozenForward forward;
  forward.to_client.pump.copy = std::string(kMostMovedBytes / 2 + 1, 'a');
  forward.to_upstream.pump.copy = forward.to_client.pump.copy;
  EXPECT_FALSE(PutMoved(With(forward), record));
  EXPECT_FALSE(record.has_moved());
  forward.to_client.pump.copy.resize(kMostMovedBytes / 2 - 1);
  ExpectTheSame(With(forward), "as much as may be");
}

TEST(MovedRecordsTest, WhatCannotBeIsRefused) {
  const std::vector<std::function<void(HandoverConnection&)>> faults = {
      [](auto& r) { r.mutable_connection()->set_bytes_received(-1); },
      [](auto& r) { r.mutable_connection()->set_bytes_sent(-1); },
      [](auto& r) { r.mutable_connection()->set_bytes_to_write(-1); },
      [](auto& r) { r.mutable_moved()->set_buffer_age_limit_nanos(-1); },
      [](auto& r) { r.mutable_moved()->clear_upstream(); },
      [](auto& r) { r.mutable_moved()->mutable_flows()->RemoveLast(); },
      [](auto& r) { r.mutable_moved()->add_flows(); },
      [](auto& r) {
        r.mutable_moved()->mutable_upstream()->set_connect_nanos(-1);
      },
      [](auto& r) {
        r.mutable_moved()->mutable_upstream()->set_buffer_age_limit_nanos(-1);
      },
      [](auto& r) {
        r.mutable_moved()
            ->mutable_upstream()
            ->mutable_connecting()
            ->set_connect_timeout_nanos(std::numeric_limits<int64_t>::min());
      },
      [](auto& r) { r.set_handler(HandoverConnection::HANDLER_REMOTE); },
      [](auto& r) { r.set_handler(HandoverConnection::HANDLER_ECHO); },
  };
  const HandoverConnection right = Sent(With(FrozenForward()));
  ASSERT_TRUE(Read(right).ok());
  for (size_t i = 0; i < faults.size(); ++i) {
    HandoverConnection wrong = right;
    faults[i](wrong);
    EXPECT_FALSE(Read(wrong).ok()) << i;
  }
}

TEST(MovedRecordsTest, EachFieldOfAStreamComesBackAlone) {
  const FrozenStream none{0, 0, CloseReason::kNone, BufferAgeLimit(), {}};
  std::vector<FrozenStream> streams(8, none);
  streams[0].bytes_received = 1;
  streams[1].bytes_sent = 2;
  streams[2].reason = CloseReason::kPeerClosed;
  streams[3].buffer_age_limit = BufferAgeLimit::Unlimited();
  streams[4].buffer_age_limit =
      BufferAgeLimit::AtMost(std::chrono::milliseconds(5));
  streams[5].writer.to_write = "six";
  streams[6].writer.ages = {{7, TimePoint(std::chrono::seconds(8))},
                            {9, TimePoint(std::chrono::seconds(10))}};
  streams[7].writer.half_closed = true;
  for (const FrozenStream& stream : streams) {
    const internal::v1::HandoverMovedOn record = MovedOnOf(9, stream);
    EXPECT_EQ(record.id(), 9);
    internal::v1::HandoverMovedOn read;
    ASSERT_TRUE(read.ParseFromString(record.SerializeAsString()));
    EXPECT_EQ(StreamOf(read, stream.writer.to_write), stream);
  }
}

// No byte is taken for older than it is, and none is without an age.
TEST(MovedRecordsTest, OfManyAgesSomeAreLeftOut) {
  FrozenStream stream;
  for (int i = 1; i <= 6001; ++i) {
    stream.writer.ages.push_back({i, TimePoint(std::chrono::seconds(i))});
  }
  const internal::v1::HandoverMovedOn record = MovedOnOf(9, stream);
  EXPECT_LT(record.ByteSizeLong(), 20'000u);
  const FrozenStream read = StreamOf(record, "");
  EXPECT_GT(read.writer.ages.size(), 100u);
  EXPECT_EQ(read.writer.ages.back(), stream.writer.ages.back());
  int64_t end = 0;
  for (const FrozenWriter::Age& age : read.writer.ages) {
    EXPECT_GT(age.end, end);
    end = age.end;
    EXPECT_EQ(age.written, TimePoint(std::chrono::seconds(age.end)));
  }
}

}  // namespace
}  // namespace portreeve::server
