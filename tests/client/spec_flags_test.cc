// From flags to requests: one flag at a time.
#include "client/cli/spec_flags.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace portreeve::cli {
namespace {

using Arguments = std::vector<std::string>;

// The request as text, or "usage: " and the error.
template <typename Flags>
std::string Parse(const Arguments& arguments) {
  CLI::App app;
  Flags flags("/home/me");
  flags.AddTo(app);
  try {
    app.parse(Arguments(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    return absl::StrCat("usage: ", error.what());
  }
  const auto request = flags.Request();
  if (!request.ok()) return absl::StrCat("usage: ", request.status().message());
  return request->ShortDebugString();
}

struct Case {
  Arguments arguments;
  const char* expected;
};

constexpr char kInet[] = "where_to_listen { inet { address: \"h\" port: 1 ";

TEST(CreateFlagsTest, NeedsAnAddressAndOneHandler) {
  EXPECT_EQ(Parse<CreateFlags>({"--listen", "tcp:h:1", "--echo"}),
            absl::StrCat("spec { ", kInet, "} } handler { echo { } } }"));
  EXPECT_EQ(Parse<CreateFlags>({"--echo"}), "usage: --listen is required");
  for (const Arguments& handlers : std::vector<Arguments>{
           {},
           {"--echo", "--discard"},
           {"--remote", "--forward", "tcp:h:1"},
       }) {
    Arguments arguments = {"--listen", "tcp:h:1"};
    arguments.insert(arguments.end(), handlers.begin(), handlers.end());
    EXPECT_EQ(Parse<CreateFlags>(arguments),
              "usage: exactly one handler is needed: --echo, --discard, "
              "--forward ADDRESS or --remote");
  }
}

TEST(CreateFlagsTest, EveryFlagOfTheRequest) {
  const Case kCases[] = {
      {{"web"}, "listener_id: \"web\" spec { "},
      {{"listeners/web"}, "listener_id: \"web\" spec { "},
      {{"--request-id", "r 1"}, "request_id: \"r 1\""},
      {{"--validate-only"}, "validate_only: true"},
  };
  for (const Case& test : kCases) {
    Arguments arguments = {"--listen", "tcp:h:1", "--echo"};
    arguments.insert(arguments.end(), test.arguments.begin(),
                     test.arguments.end());
    const std::string parsed = Parse<CreateFlags>(arguments);
    EXPECT_NE(parsed.find(test.expected), std::string::npos) << parsed;
  }
}

TEST(CreateFlagsTest, EveryFlagOfWhereToListen) {
  const Case kCases[] = {
      {{"tcp:*:0"}, "inet { address: \"*\" }"},
      {{"unix:x"}, "unix_socket { path: \"/home/me/x\" }"},
      {{"tcp:h:1", "--reuse-address"},
       "inet { address: \"h\" port: 1 reuse_address: true }"},
      {{"tcp:h:1", "--no-reuse-address"},
       "inet { address: \"h\" port: 1 reuse_address: false }"},
      {{"tcp:h:1", "--reuse-port"},
       "inet { address: \"h\" port: 1 reuse_port: true }"},
      {{"[::]:1", "--dual-stack"},
       "inet { address: \"::\" port: 1 dual_stack: true }"},
      {{":1"}, "inet { port: 1 }"},
      {{"unix:@x"}, "unix_socket { path: \"\\000x\" }"},
      {{"tcp:h:1", "--bind-to-interface", "eth0"},
       "inet { address: \"h\" port: 1 bind_to_interface: \"eth0\" }"},
      {{"unix:/x", "--mode", "0600"}, "unix_socket { path: \"/x\" mode: 384 }"},
      {{"unix:/x", "--mode", "0"}, "unix_socket { path: \"/x\" mode: 0 }"},
  };
  for (const Case& test : kCases) {
    Arguments arguments = {"--echo", "--listen"};
    arguments.insert(arguments.end(), test.arguments.begin(),
                     test.arguments.end());
    EXPECT_EQ(Parse<CreateFlags>(arguments),
              absl::StrCat("spec { where_to_listen { ", test.expected,
                           " } handler { echo { } } }"));
  }
}

TEST(CreateFlagsTest, FlagsOfTheOtherKindOfAddressAreWrong) {
  for (const Arguments& flags :
       std::vector<Arguments>{{"--reuse-address"},
                              {"--no-reuse-address"},
                              {"--reuse-port"},
                              {"--dual-stack"},
                              {"--bind-to-interface", "lo"}}) {
    Arguments arguments = {"--echo", "--listen", "unix:/x"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    EXPECT_NE(Parse<CreateFlags>(arguments).find("need --listen tcp:..."),
              std::string::npos);
  }
  EXPECT_EQ(
      Parse<CreateFlags>({"--echo", "--listen", "tcp:h:1", "--mode", "600"}),
      "usage: --mode needs --listen unix:...");
}

const Case kHandlers[] = {
    {{"--echo"}, "echo { }"},
    {{"--discard"}, "discard { }"},
    {{"--remote"}, "remote { }"},
    {{"--remote", "--claim-timeout", "5s"},
     "remote { claim_timeout { seconds: 5 } }"},
    {{"--forward", "tcp:up:80"},
     "forward { upstream { inet { host: \"up\" port: 80 } } }"},
    {{"--forward", "unix:up"},
     "forward { upstream { unix_socket { path: \"/home/me/up\" } } }"},
    {{"--forward", "tcp:up:80", "--connect-timeout", "1m"},
     "forward { upstream { inet { host: \"up\" port: 80 } } "
     "connect_timeout { seconds: 60 } }"},
    {{"--forward", "tcp:up:80", "--bind-to-address", "10.0.0.1"},
     "forward { upstream { inet { host: \"up\" port: 80 bind_to_address: "
     "\"10.0.0.1\" } } }"},
    {{"--forward", "tcp:up:80", "--bind-to-port", "99"},
     "forward { upstream { inet { host: \"up\" port: 80 bind_to_port: 99 } "
     "} }"},
};

const Case kSettings[] = {
    {{"--max-connections", "5"}, "max_connections: 5"},
    {{"--max-connections", "0"}, "max_connections: 0"},
    {{"--max-pending-connections", "0"}, "max_pending_connections: 0"},
    {{"--max-accepts-per-batch", "-1"}, "max_accepts_per_batch: -1"},
    {{"--buffer-age-limit", "1h30m"},
     "buffer_age_limit { at_most { seconds: 5400 } }"},
    {{"--buffer-age-limit", "unlimited"}, "buffer_age_limit { unlimited { } }"},
    {{"--on-handler-error", "raise"},
     "on_handler_error: ON_HANDLER_ERROR_RAISE"},
    {{"--on-handler-error", "ignore"},
     "on_handler_error: ON_HANDLER_ERROR_IGNORE"},
    {{"--on-handler-error", "call"}, "on_handler_error: ON_HANDLER_ERROR_CALL"},
    {{"--drop-incoming-connections"}, "drop_incoming_connections: true"},
    {{"--label", "a=b"}, "labels { key: \"a\" value: \"b\" }"},
    {{"--label", "a=b", "--label", "a=c"},
     "labels { key: \"a\" value: \"c\" }"},
};

TEST(CreateFlagsTest, EveryFlagOfTheHandler) {
  for (const Case& test : kHandlers) {
    Arguments arguments = {"--listen", "tcp:h:1"};
    arguments.insert(arguments.end(), test.arguments.begin(),
                     test.arguments.end());
    EXPECT_EQ(Parse<CreateFlags>(arguments),
              absl::StrCat("spec { ", kInet, "} } handler { ", test.expected,
                           " } }"));
  }
}

TEST(CreateFlagsTest, FlagsOfAnotherHandlerAreWrong) {
  for (const Arguments& flags : std::vector<Arguments>{
           {"--echo", "--connect-timeout", "1s"},
           {"--echo", "--claim-timeout", "1s"},
           {"--echo", "--bind-to-port", "1"},
           {"--forward", "unix:/x", "--bind-to-address", "::1"},
           {"--forward", "tcp:h:1", "--claim-timeout", "1s"},
           {"--forward", "tcp:h:0"},
           {"--remote", "--claim-timeout", "1"}}) {
    Arguments arguments = {"--listen", "tcp:h:1"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    EXPECT_EQ(Parse<CreateFlags>(arguments).substr(0, 7), "usage: ");
    EXPECT_EQ(Parse<UpdateFlags>([&] {
                Arguments update = flags;
                update.insert(update.begin(), "web");
                // A timeout alone is a change of its own.
                return flags[0] == "--echo" ? Arguments{"web"} : update;
              }())
                  .substr(0, 7),
              "usage: ");
  }
}

TEST(CreateFlagsTest, EverySetting) {
  for (const Case& test : kSettings) {
    Arguments arguments = {"--listen", "tcp:h:1", "--echo"};
    arguments.insert(arguments.end(), test.arguments.begin(),
                     test.arguments.end());
    EXPECT_EQ(Parse<CreateFlags>(arguments),
              absl::StrCat("spec { ", kInet, "} } handler { echo { } } ",
                           test.expected, " }"));
  }
}

// The path of a field as it starts its short text.
std::string PathOf(const std::string& text) {
  return "spec." + text.substr(0, text.find_first_of(": "));
}

std::string Update(const std::string& spec, const std::string& path) {
  return absl::StrCat("listener { name: \"listeners/web\"",
                      spec.empty() ? " spec { } }" : " spec { " + spec + " } }",
                      " update_mask { paths: \"", path, "\" }");
}

TEST(UpdateFlagsTest, TheMaskHasWhatWasGivenOnly) {
  for (const Case& test : kSettings) {
    Arguments arguments = {"web"};
    arguments.insert(arguments.end(), test.arguments.begin(),
                     test.arguments.end());
    EXPECT_EQ(Parse<UpdateFlags>(arguments),
              Update(test.expected, PathOf(test.expected)));
  }
  for (const Case& test : kHandlers) {
    Arguments arguments = {"listeners/web"};
    arguments.insert(arguments.end(), test.arguments.begin(),
                     test.arguments.end());
    EXPECT_EQ(Parse<UpdateFlags>(arguments),
              Update(absl::StrCat("handler { ", test.expected, " }"),
                     "spec.handler"));
  }
}

TEST(UpdateFlagsTest, ATimeoutAloneLeavesTheRestOfTheHandler) {
  EXPECT_EQ(Parse<UpdateFlags>({"web", "--connect-timeout", "1s"}),
            Update("handler { forward { connect_timeout { seconds: 1 } } }",
                   "spec.handler.forward.connect_timeout"));
  EXPECT_EQ(Parse<UpdateFlags>({"web", "--claim-timeout", "1s"}),
            Update("handler { remote { claim_timeout { seconds: 1 } } }",
                   "spec.handler.remote.claim_timeout"));
}

TEST(UpdateFlagsTest, AFlagOfTheAccessLogLeavesTheOtherAsItIs) {
  EXPECT_EQ(Parse<UpdateFlags>({"web", "--access-log", "on-open-and-close"}),
            Update("access_log { mode: ACCESS_LOG_MODE_ON_OPEN_AND_CLOSE }",
                   "spec.access_log.mode"));
  EXPECT_EQ(Parse<UpdateFlags>({"web", "--access-log-every", "1h"}),
            Update("access_log { every { seconds: 3600 } }",
                   "spec.access_log.every"));
  EXPECT_EQ(Parse<CreateFlags>({"--listen", "tcp:h:1", "--echo", "--access-log",
                                "on-close", "--access-log-every", "90s"}),
            absl::StrCat("spec { ", kInet,
                         "} } handler { echo { } } access_log { mode: "
                         "ACCESS_LOG_MODE_ON_CLOSE every { seconds: 90 } } }"));
}

TEST(UpdateFlagsTest, UnsetNamesAFieldWithoutAValue) {
  const std::pair<const char*, const char*> kFields[] = {
      {"max-connections", "spec.max_connections"},
      {"max-pending-connections", "spec.max_pending_connections"},
      {"max-accepts-per-batch", "spec.max_accepts_per_batch"},
      {"buffer-age-limit", "spec.buffer_age_limit"},
      {"on-handler-error", "spec.on_handler_error"},
      {"drop-incoming-connections", "spec.drop_incoming_connections"},
      {"labels", "spec.labels"},
      {"access-log", "spec.access_log"},
      {"access-log-every", "spec.access_log.every"},
  };
  for (const auto& [name, path] : kFields) {
    EXPECT_EQ(Parse<UpdateFlags>({"web", "--unset", name}), Update("", path));
  }
  EXPECT_EQ(Parse<UpdateFlags>({"web", "--no-drop-incoming-connections"}),
            Update("", "spec.drop_incoming_connections"));
}

TEST(UpdateFlagsTest, RefusesWhatChangesNothingOrTwice) {
  for (const Arguments& arguments : std::vector<Arguments>{
           {},
           {"web"},
           {"", "--echo"},
           {"web", "--listen", "tcp:h:1"},
           {"web", "--bind-to-port", "1"},
           {"web", "--unset", "handler"},
           {"web", "--unset", "labels", "--label", "a=b"},
           {"web", "--unset", "access-log", "--access-log", "off"},
           {"web", "--unset", "access-log", "--access-log-every", "1h"},
           {"web", "--access-log", "sometimes"},
           {"web", "--access-log-every", "1"},
           {"web", "--connect-timeout", "1s", "--claim-timeout", "1s"},
           {"web", "--label", "a=b", "c=d"}}) {
    EXPECT_EQ(Parse<UpdateFlags>(arguments).substr(0, 7), "usage: ");
  }
}

}  // namespace
}  // namespace portreeve::cli
