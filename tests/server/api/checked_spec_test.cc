// What CheckAndFill() lets through, what it makes of it, and what it refuses.
#include "server/api/checked_spec.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <type_traits>
#include <variant>

#include "lib/base/status.h"
#include "server/api/spec.h"

namespace portreeve::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

static_assert(!std::is_default_constructible_v<CheckedSpec>);
static_assert(!std::is_copy_constructible_v<CheckedSpec>);
static_assert(!std::is_copy_assignable_v<CheckedSpec>);
// Whoever has one keeps it as it was.
static_assert(std::is_const_v<SharedSpec::element_type>);

// Of protobuf's text format.
v1::ListenerSpec Spec(const std::string& text) {
  v1::ListenerSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec))
      << text;
  return spec;
}

// Null, and a failed test, where `text` is refused.
SharedSpec Checked(const std::string& text) {
  auto checked = CheckAndFill(Spec(text));
  EXPECT_TRUE(checked.ok()) << checked.status();
  return checked.ok() ? *std::move(checked) : nullptr;
}

constexpr char kPort[] = "where_to_listen { inet { port: 80 } } ";
constexpr char kEcho[] = "where_to_listen { inet {} } handler { echo {} } ";
constexpr char kForward[] = R"(
  where_to_listen { inet { address: "127.0.0.1" port: 80 } }
  handler { forward {
    upstream { inet {
      host: "example.org" port: 443
      bind_to_address: "192.0.2.1" bind_to_port: 1000
    } }
    connect_timeout { seconds: 1 nanos: 500000000 }
  } }
  max_connections: 1000
  max_pending_connections: 7
  max_accepts_per_batch: 3
  buffer_age_limit { at_most { seconds: 9 } }
  drop_incoming_connections: true
)";
constexpr char kRemote[] = R"(
  where_to_listen { inet {} }
  handler { remote { claim_timeout { nanos: 1000000 } } }
  on_handler_error: ON_HANDLER_ERROR_CALL
  buffer_age_limit { unlimited {} }
)";

TEST(CheckedSpecTest, WhatIsUnsetHasItsDefaultInTheMessageAndInTheValues) {
  const SharedSpec echo = Checked(kEcho);
  ASSERT_NE(echo, nullptr);
  const v1::ListenerSpec& message = echo->message();
  EXPECT_EQ(message.where_to_listen().inet().address(), "0.0.0.0");
  EXPECT_TRUE(message.where_to_listen().inet().reuse_address());
  EXPECT_EQ(message.max_connections(), DefaultMaxConnections());
  EXPECT_EQ(message.max_pending_connections(), 4096);
  EXPECT_EQ(message.max_accepts_per_batch(), 1);
  EXPECT_EQ(message.buffer_age_limit().at_most().seconds(), 120);
  EXPECT_EQ(message.on_handler_error(), v1::ON_HANDLER_ERROR_RAISE);
  const auto& inet = std::get<WhereToListen<Inet>>(echo->where_to_listen());
  EXPECT_EQ(inet.address.to_string(), "0.0.0.0");
  EXPECT_EQ(inet.port, 0);
  EXPECT_TRUE(inet.reuse_address);
  const ServerOptions& options = echo->options();
  EXPECT_EQ(options.max_connections, DefaultMaxConnections());
  EXPECT_EQ(options.max_pending_connections, 4096);
  EXPECT_EQ(options.max_accepts_per_batch, 1);
  EXPECT_EQ(options.buffer_age_limit.at_most(), minutes(2));
  EXPECT_FALSE(options.drop_incoming_connections);

  const SharedSpec forward = Checked(
      std::string(kPort) +
      "handler { forward { upstream { unix_socket { path: '/to' } } } }");
  ASSERT_NE(forward, nullptr);
  EXPECT_EQ(forward->message().handler().forward().connect_timeout().seconds(),
            30);
  EXPECT_EQ(forward->forward()->connect_timeout, seconds(30));

  const SharedSpec remote =
      Checked(std::string(kPort) + "handler { remote {} }");
  ASSERT_NE(remote, nullptr);
  EXPECT_EQ(remote->message().handler().remote().claim_timeout().seconds(), 10);
  EXPECT_EQ(remote->remote()->claim_timeout, seconds(10));

  const SharedSpec file = Checked(
      "where_to_listen { unix_socket { path: '/at' } } handler { echo {} }");
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->message().where_to_listen().unix_socket().mode(), 0660);
  EXPECT_EQ(std::get<WhereToListen<Unix>>(file->where_to_listen()).mode, 0660);
}

TEST(CheckedSpecTest, ValuesOfAForwardAreThoseOfTheSpec) {
  const SharedSpec spec = Checked(kForward);
  ASSERT_NE(spec, nullptr);
  const auto& at = std::get<WhereToListen<Inet>>(spec->where_to_listen());
  EXPECT_EQ(ToString(at), "tcp:127.0.0.1:80");
  ASSERT_NE(spec->forward(), nullptr);
  const auto& to = std::get<WhereToConnect<Inet>>(spec->forward()->upstream);
  EXPECT_EQ(ToString(to), "tcp:example.org:443");
  EXPECT_EQ(to.bind_to_address, asio::ip::make_address("192.0.2.1"));
  EXPECT_EQ(to.bind_to_port, 1000);
  EXPECT_EQ(spec->forward()->connect_timeout, milliseconds(1500));
  EXPECT_EQ(spec->remote(), nullptr);
  const ServerOptions& options = spec->options();
  EXPECT_EQ(options.max_connections, 1000);
  EXPECT_EQ(options.max_pending_connections, 7);
  EXPECT_EQ(options.max_accepts_per_batch, 3);
  EXPECT_EQ(options.buffer_age_limit.at_most(), seconds(9));
  EXPECT_TRUE(options.drop_incoming_connections);
  EXPECT_EQ(options.descriptors_per_connection, 2);
  EXPECT_EQ(options.observer, nullptr);
  EXPECT_EQ(options.descriptor_budget, nullptr);
  EXPECT_EQ(options.lanes, nullptr);
}

TEST(CheckedSpecTest, ValuesOfARemoteAreThoseOfTheSpec) {
  const SharedSpec spec = Checked(kRemote);
  ASSERT_NE(spec, nullptr);
  ASSERT_NE(spec->remote(), nullptr);
  EXPECT_EQ(spec->remote()->claim_timeout, milliseconds(1));
  EXPECT_EQ(spec->forward(), nullptr);
  EXPECT_FALSE(spec->options().buffer_age_limit.at_most().has_value());
  EXPECT_EQ(spec->options().descriptors_per_connection, 1);
  EXPECT_EQ(spec->message().on_handler_error(), v1::ON_HANDLER_ERROR_CALL);
}

TEST(CheckedSpecTest, ValuesOfWhereToListenAreThoseOfTheSpec) {
  const SharedSpec port = Checked(R"(
    where_to_listen { inet {
      address: "localhost" port: 9 reuse_address: false reuse_port: true
      bind_to_interface: "lo"
    } } handler { discard {} })");
  ASSERT_NE(port, nullptr);
  const auto& inet = std::get<WhereToListen<Inet>>(port->where_to_listen());
  EXPECT_EQ(inet.address.to_string(), "127.0.0.1");
  EXPECT_EQ(inet.port, 9);
  EXPECT_FALSE(inet.reuse_address);
  EXPECT_TRUE(inet.reuse_port);
  EXPECT_EQ(inet.bind_to_interface, "lo");
  EXPECT_EQ(port->message().where_to_listen().inet().address(), "localhost");
  EXPECT_EQ(port->forward(), nullptr);
  EXPECT_EQ(port->remote(), nullptr);

  const SharedSpec file = Checked(
      "where_to_listen { unix_socket { path: '/at' mode: 0 } }"
      "handler { echo {} }");
  ASSERT_NE(file, nullptr);
  const auto& at = std::get<WhereToListen<Unix>>(file->where_to_listen());
  EXPECT_EQ(at.path, "/at");
  EXPECT_EQ(at.mode, 0);
}

TEST(CheckedSpecTest, WhatIsFilledInIsRightAndStays) {
  for (const char* text : {kEcho, kForward, kRemote}) {
    const SharedSpec first = Checked(text);
    ASSERT_NE(first, nullptr);
    v1::ListenerSpec decoded;
    ASSERT_TRUE(decoded.ParseFromString(first->encoded()));
    EXPECT_EQ(decoded.DebugString(), first->message().DebugString());
    const auto second = CheckAndFill(first->message());
    ASSERT_TRUE(second.ok()) << second.status();
    EXPECT_EQ((*second)->encoded(), first->encoded());
  }
}

TEST(CheckedSpecTest, AnUpdateHasWhatTheMaskNamesAndTheRestOfTheOld) {
  const SharedSpec old = Checked(kForward);
  ASSERT_NE(old, nullptr);
  google::protobuf::FieldMask mask;
  mask.add_paths("spec.handler");
  mask.add_paths("spec.max_connections");
  mask.add_paths("spec.buffer_age_limit");
  const v1::ListenerSpec wanted = Spec(R"(
    handler { remote {} } max_connections: 5 max_accepts_per_batch: 100)");
  const auto updated = CheckAndFill(Merge(old->message(), wanted, mask));
  ASSERT_TRUE(updated.ok()) << updated.status();
  const CheckedSpec& spec = **updated;

  EXPECT_EQ(spec.forward(), nullptr);
  EXPECT_EQ(spec.remote()->claim_timeout, seconds(10));
  EXPECT_EQ(spec.options().max_connections, 5);
  EXPECT_EQ(spec.options().buffer_age_limit.at_most(), minutes(2));
  EXPECT_EQ(spec.options().descriptors_per_connection, 1);
  EXPECT_EQ(spec.message().max_connections(), 5);

  EXPECT_EQ(spec.options().max_accepts_per_batch, 3);
  EXPECT_EQ(spec.options().max_pending_connections, 7);
  EXPECT_TRUE(spec.options().drop_incoming_connections);
  const auto& at = std::get<WhereToListen<Inet>>(spec.where_to_listen());
  EXPECT_EQ(ToString(at), "tcp:127.0.0.1:80");
  v1::ListenerSpec encoded;
  ASSERT_TRUE(encoded.ParseFromString(spec.encoded()));
  EXPECT_EQ(encoded.DebugString(), spec.message().DebugString());
}

// What is said of `text`.
std::string Refusal(const std::string& text) {
  const absl::Status status = CheckAndFill(Spec(text)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_EQ(DetailOf(status).reason, Reason::kInvalidField) << text;
  // The message begins with the field.
  EXPECT_EQ(std::string(status.message()).find(DetailOf(status).field + ": "),
            0u)
      << status;
  return std::string(status.message());
}

TEST(CheckedSpecTest, ARefusalNamesTheField) {
  EXPECT_EQ(Refusal(""),
            "where_to_listen: one of `inet` and `unix_socket` must be set");
  EXPECT_EQ(Refusal("where_to_listen { inet { port: 65536 } }"),
            "where_to_listen.inet.port: must be 0-65535, but is 65536");
  EXPECT_EQ(Refusal("where_to_listen { unix_socket { path: '/' mode: 512 } }"),
            "where_to_listen.unix_socket.mode: must be 0-0777 (octal)");
  EXPECT_EQ(Refusal(kPort),
            "handler: one of `echo`, `discard`, `forward` and `remote` must be "
            "set");
  const std::string forward = std::string(kPort) + "handler { forward { ";
  EXPECT_EQ(Refusal(forward + "} }"),
            "handler.forward.upstream: one of `inet` and `unix_socket` must be "
            "set");
  EXPECT_EQ(Refusal(forward + "upstream { inet { host: 'a' } } } }"),
            "handler.forward.upstream.inet.port: must be 1-65535, but is 0");
  EXPECT_EQ(Refusal(forward + "upstream { unix_socket { path: '/' } }"
                              "connect_timeout {} } }"),
            "handler.forward.connect_timeout: must be greater than 0");
  EXPECT_EQ(Refusal(std::string(kPort) +
                    "handler { remote { claim_timeout { seconds: -1 } } }"),
            "handler.remote.claim_timeout: must not be negative");
  const std::string echo = kEcho;
  EXPECT_EQ(Refusal(echo + "buffer_age_limit { at_most {} }"),
            "buffer_age_limit.at_most: must be greater than 0");
  EXPECT_EQ(Refusal(echo + "on_handler_error: ON_HANDLER_ERROR_CALL"),
            "on_handler_error: CALL needs a `remote` handler, which can be "
            "called");
  v1::ListenerSpec unknown = Spec(kEcho);
  unknown.set_on_handler_error(static_cast<v1::OnHandlerError>(9));
  const absl::Status refused = CheckAndFill(unknown).status();
  EXPECT_EQ(refused.message(), "on_handler_error: unknown value 9");
  EXPECT_EQ(DetailOf(refused).field, "on_handler_error");
}

TEST(CheckedSpecTest, LimitsFromBothSides) {
  const std::string echo = kEcho;
  EXPECT_NE(Checked(echo + "max_connections: 1"), nullptr);
  EXPECT_EQ(Refusal(echo + "max_connections: 0"),
            "max_connections: must be at least 1, but is 0");
  EXPECT_NE(Checked(echo + "max_pending_connections: 0"), nullptr);
  EXPECT_EQ(Refusal(echo + "max_pending_connections: -1"),
            "max_pending_connections: must be at least 0, but is -1");
  EXPECT_NE(Checked(echo + "max_accepts_per_batch: 1"), nullptr);
  EXPECT_EQ(Refusal(echo + "max_accepts_per_batch: 0"),
            "max_accepts_per_batch: must be at least 1, but is 0");
}

// `count` labels, with keys and values of these lengths.
v1::ListenerSpec Labelled(int count, size_t key_bytes, size_t value_bytes) {
  v1::ListenerSpec spec = Spec(kEcho);
  for (int i = 0; i < count; ++i) {
    std::string key = std::to_string(i);
    key.resize(key_bytes, 'k');
    (*spec.mutable_labels())[key] = std::string(value_bytes, 'v');
  }
  return spec;
}

TEST(CheckedSpecTest, LabelsFromBothSides) {
  EXPECT_TRUE(CheckAndFill(Labelled(kMaxLabels, 2, 0)).ok());
  EXPECT_TRUE(
      CheckAndFill(Labelled(1, kMaxLabelKeyBytes, kMaxLabelValueBytes)).ok());
  EXPECT_TRUE(CheckAndFill(Labelled(16, 16, 240)).ok());
  for (const v1::ListenerSpec& spec :
       {Labelled(kMaxLabels + 1, 2, 0), Labelled(1, 0, 1),
        Labelled(1, kMaxLabelKeyBytes + 1, 0),
        Labelled(1, 1, kMaxLabelValueBytes + 1), Labelled(17, 16, 240)}) {
    EXPECT_EQ(DetailOf(CheckAndFill(spec).status()).field, "labels");
  }
}

// What `text` asks of the access log: "open close 60".
std::string LinesOf(const std::string& text) {
  const SharedSpec spec = Checked(kEcho + text);
  if (spec == nullptr) return "";
  const CheckedSpec::AccessLog& log = spec->access_log();
  std::string lines;
  if (log.on_open) lines += "open ";
  if (log.on_close) lines += "close ";
  if (log.every) {
    lines +=
        std::to_string(std::chrono::duration_cast<seconds>(*log.every).count());
  }
  return lines;
}

TEST(CheckedSpecTest, TheLinesOfTheAccessLog) {
  EXPECT_EQ(LinesOf(""), "close ");
  EXPECT_EQ(LinesOf("access_log {}"), "close ");
  EXPECT_EQ(LinesOf("access_log { mode: ACCESS_LOG_MODE_OFF }"), "");
  EXPECT_EQ(LinesOf("access_log { mode: ACCESS_LOG_MODE_ON_CLOSE }"), "close ");
  EXPECT_EQ(LinesOf("access_log { mode: ACCESS_LOG_MODE_ON_OPEN_AND_CLOSE "
                    "every { seconds: 60 } }"),
            "open close 60");
  EXPECT_EQ(LinesOf("access_log { every { seconds: 1 } }"), "close 1");
  EXPECT_EQ(LinesOf("access_log { every { seconds: 86400 } }"), "close 86400");
}

// Without --access-log there is nothing to be told of.
TEST(CheckedSpecTest, AnAccessLogThatIsUnsetStaysSo) {
  EXPECT_FALSE(Checked(kEcho)->message().has_access_log());
  EXPECT_EQ(Checked(std::string(kEcho) + "access_log {}")
                ->message()
                .access_log()
                .mode(),
            v1::ACCESS_LOG_MODE_ON_CLOSE);
}

TEST(CheckedSpecTest, TheAccessLogIsUpdatedInParts) {
  const SharedSpec old = Checked(
      std::string(kEcho) +
      "access_log { mode: ACCESS_LOG_MODE_ON_OPEN_AND_CLOSE every { seconds: 9 "
      "} }");
  const auto update = [&](const std::string& path, const std::string& wanted) {
    google::protobuf::FieldMask mask;
    mask.add_paths("spec." + path);
    const auto merged = CheckAndFill(Merge(old->message(), Spec(wanted), mask));
    EXPECT_TRUE(merged.ok()) << merged.status();
    return (*merged)->message().access_log().ShortDebugString();
  };
  EXPECT_EQ(update("access_log", ""), "");
  EXPECT_EQ(update("access_log", "access_log { every { seconds: 1 } }"),
            "mode: ACCESS_LOG_MODE_ON_CLOSE every { seconds: 1 }");
  EXPECT_EQ(update("access_log.mode", "access_log { every { seconds: 1 } }"),
            "mode: ACCESS_LOG_MODE_ON_CLOSE every { seconds: 9 }");
  EXPECT_EQ(update("access_log.every", ""),
            "mode: ACCESS_LOG_MODE_ON_OPEN_AND_CLOSE");
  EXPECT_EQ(update("access_log.every", "access_log { every { seconds: 1 } }"),
            "mode: ACCESS_LOG_MODE_ON_OPEN_AND_CLOSE every { seconds: 1 }");
}

TEST(CheckedSpecTest, ARefusalOfTheAccessLogNamesTheField) {
  const std::string log = std::string(kEcho) + "access_log { ";
  for (const char* every :
       {"seconds: 86400 nanos: 1", "nanos: 999999999", "seconds: 86401"}) {
    EXPECT_EQ(Refusal(log + "every { " + every + " } }"),
              "access_log.every: must be from 1 s to 24 h");
  }
  EXPECT_EQ(Refusal(log + "every {} }"),
            "access_log.every: must be greater than 0");
  EXPECT_EQ(Refusal(log + "mode: ACCESS_LOG_MODE_OFF every { seconds: 2 } }"),
            "access_log.every: there are no lines with mode OFF");
  v1::ListenerSpec unknown = Spec(kEcho);
  unknown.mutable_access_log()->set_mode(static_cast<v1::AccessLogMode>(9));
  EXPECT_EQ(CheckAndFill(unknown).status().message(),
            "access_log.mode: unknown value 9");
}

}  // namespace
}  // namespace portreeve::server
