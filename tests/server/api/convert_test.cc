#include "server/api/convert.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "lib/base/status.h"
#include "server/api/names.h"
#include "server/api/spec.h"
#include "server/api/utf8.h"

namespace portreeve::server {
namespace {

TEST(ConvertTest, ListenAddresses) {
  v1::WhereToListen where;
  auto address = [&](const char* text) {
    where.mutable_inet()->set_address(text);
    const auto converted = FromProto(where);
    if (!converted.ok()) return DetailOf(converted.status()).field;
    return std::get<WhereToListen<Inet>>(*converted).address.to_string();
  };
  EXPECT_EQ(address(""), "0.0.0.0");
  EXPECT_EQ(address("*"), "0.0.0.0");
  EXPECT_EQ(address("localhost"), "127.0.0.1");
  EXPECT_EQ(address("::"), "::");
  EXPECT_EQ(address("::1"), "::1");
  EXPECT_EQ(address("10.1.2.3"), "10.1.2.3");
  EXPECT_EQ(address("example.org"), "inet.address");
}

// "" where it is right; else the field.
std::string WrongField(const v1::WhereToListen& where) {
  const auto converted = FromProto(where);
  return converted.ok() ? "" : DetailOf(converted.status()).field;
}

TEST(ConvertTest, DualStackIsForTheWildcardOfIpv6) {
  v1::WhereToListen where;
  where.mutable_inet()->set_dual_stack(true);
  where.mutable_inet()->set_address("::");
  EXPECT_EQ(WrongField(where), "");
  EXPECT_TRUE(IsDualStack(std::get<WhereToListen<Inet>>(*FromProto(where))));
  for (const char* address :
       {"", "*", "0.0.0.0", "::1", "127.0.0.1", "localhost", "2001:db8::1"}) {
    where.mutable_inet()->set_address(address);
    EXPECT_EQ(WrongField(where), "inet.dual_stack") << address;
  }
  where.mutable_inet()->set_dual_stack(false);
  where.mutable_inet()->set_address("::");
  EXPECT_FALSE(IsDualStack(std::get<WhereToListen<Inet>>(*FromProto(where))));
}

TEST(ConvertTest, AnAbstractSocketHasNoMode) {
  v1::WhereToListen where;
  auto& socket = *where.mutable_unix_socket();
  socket.set_path(std::string("\0x", 2));
  EXPECT_EQ(WrongField(where), "");
  socket.set_mode(0600);
  EXPECT_EQ(WrongField(where), "unix_socket.mode");
  socket.set_path("/x");
  EXPECT_EQ(WrongField(where), "");
}

TEST(ConvertTest, HostsToConnectTo) {
  v1::WhereToConnect where;
  where.mutable_inet()->set_port(80);
  for (const char* host :
       {"example.org", "example.org.", "a-b_c.d", "::1", "10.0.0.1", "x"}) {
    where.mutable_inet()->set_host(host);
    EXPECT_TRUE(FromProto(where).ok()) << host;
  }
  for (const char* host : {"", ".", "a..b", " a", "a/b", "[::1]", "\xc3\xa9"}) {
    where.mutable_inet()->set_host(host);
    EXPECT_EQ(DetailOf(FromProto(where).status()).field, "inet.host") << host;
  }
}

TEST(ConvertTest, Durations) {
  google::protobuf::Duration duration;
  duration.set_seconds(1);
  duration.set_nanos(5);
  auto convert = [&](DurationRange range) {
    return FromProto(duration, "timeout", range);
  };
  EXPECT_EQ(*convert(DurationRange::kPositive),
            std::chrono::nanoseconds(1'000'000'005));
  duration.set_seconds(315576000000);  // The longest that protobuf knows.
  duration.set_nanos(999'999'999);
  EXPECT_EQ(*convert(DurationRange::kPositive),
            std::chrono::hours(24 * 365 * 100));
  duration.Clear();
  EXPECT_EQ(*convert(DurationRange::kNotNegative), Duration::zero());
  EXPECT_EQ(DetailOf(convert(DurationRange::kPositive).status()).field,
            "timeout");
}

TEST(ConvertTest, NamesOfConnectionsSortAsTheirNumbers) {
  std::string last;
  for (int bits = 0; bits < 63; ++bits) {
    const int64_t number = int64_t{1} << bits;
    const std::string name = ConnectionName(number);
    EXPECT_LT(last, name);
    EXPECT_EQ(*ParseConnectionName(name, "name"), number);
    last = name;
  }
}

TEST(ConvertTest, ListenerIds) {
  for (const std::string& id : {std::string("a"), std::string("a-1"),
                                std::string("a1"), std::string(63, 'a')}) {
    EXPECT_TRUE(IsListenerId(id)) << id;
  }
  for (const std::string& id :
       {std::string(""), std::string("1"), std::string("a-"), std::string("A"),
        std::string("-a"), std::string(64, 'a')}) {
    EXPECT_FALSE(IsListenerId(id)) << id;
  }
}

TEST(ConvertTest, MergeReplacesWhatTheMaskNames) {
  v1::ListenerSpec current;
  (*current.mutable_labels())["old"] = "1";
  current.mutable_handler()->mutable_forward()->mutable_upstream();
  current.set_max_connections(5);
  current.set_drop_incoming_connections(true);
  v1::ListenerSpec wanted;
  (*wanted.mutable_labels())["new"] = "2";
  wanted.mutable_handler()->mutable_forward()->mutable_connect_timeout();
  google::protobuf::FieldMask mask;
  mask.add_paths("spec.labels");
  mask.add_paths("spec.handler.forward.connect_timeout");
  mask.add_paths("spec.max_connections");
  mask.add_paths("spec.drop_incoming_connections");
  const v1::ListenerSpec merged = Merge(current, wanted, mask);
  EXPECT_EQ(merged.labels_size(), 1);
  EXPECT_EQ(merged.labels().at("new"), "2");
  EXPECT_TRUE(merged.handler().forward().has_upstream());
  EXPECT_TRUE(merged.handler().forward().has_connect_timeout());
  EXPECT_FALSE(merged.has_max_connections());
  EXPECT_FALSE(merged.drop_incoming_connections());
}

TEST(ConvertTest, PathsThatAreNotUtf8AreEscaped) {
  const v1::Address address =
      ToProto(AnyAddress(Unix::Address("/tmp/\xff\xc3\xa9")));
  EXPECT_EQ(address.unix_socket().path(), "/tmp/\\xff\xc3\xa9");
}

TEST(ConvertTest, Utf8) {
  const std::string well_formed = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
  EXPECT_EQ(EscapeNonUtf8(well_formed), well_formed);
  EXPECT_EQ(EscapeNonUtf8("\xc0\x80"), "\\xc0\\x80");           // Overlong.
  EXPECT_EQ(EscapeNonUtf8("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // Surrogate.
  EXPECT_EQ(EscapeNonUtf8("\xe2\x82"), "\\xe2\\x82");           // Cut.
  EXPECT_EQ(ClipUtf8(well_formed, 5), "a\xc3\xa9");
  EXPECT_EQ(ClipUtf8(well_formed, 100), well_formed);
}

}  // namespace
}  // namespace portreeve::server
