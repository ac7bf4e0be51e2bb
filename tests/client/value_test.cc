// Values of flags.
#include "client/cli/value.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "portreeve/v1/event.pb.h"
#include "portreeve/v1/handler.pb.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::cli {
namespace {

TEST(ValueTest, ReadsDurations) {
  const struct {
    const char* text;
    int64_t seconds;
    int32_t nanos;
  } kGood[] = {
      {"10s", 10, 0},
      {"500ms", 0, 500'000'000},
      {"2m", 120, 0},
      {"1h30m", 5400, 0},
      {"1.5s", 1, 500'000'000},
      {"0", 0, 0},
      {"-1s", -1, 0},
      {"-1.5s", -1, -500'000'000},
      {"1ns", 0, 1},
      {"87660000h", 315'576'000'000, 0},
  };
  for (const auto& good : kGood) {
    SCOPED_TRACE(good.text);
    const auto duration = ParseProtoDuration(good.text);
    ASSERT_TRUE(duration.ok()) << duration.status();
    EXPECT_EQ(duration->seconds(), good.seconds);
    EXPECT_EQ(duration->nanos(), good.nanos);
  }
  for (const char* bad : {"", "10", "s", "10 s", "10d", "1m x", "inf", "-inf",
                          "87660001h", "1e400s"}) {
    SCOPED_TRACE(bad);
    EXPECT_FALSE(ParseProtoDuration(bad).ok());
  }
}

TEST(ValueTest, ReadsBufferAgeLimits) {
  EXPECT_TRUE(ParseBufferAgeLimit("unlimited")->has_unlimited());
  EXPECT_EQ(ParseBufferAgeLimit("90s")->at_most().seconds(), 90);
  for (const char* bad : {"", "Unlimited", "10", "inf"}) {
    SCOPED_TRACE(bad);
    EXPECT_FALSE(ParseBufferAgeLimit(bad).ok());
  }
}

TEST(ValueTest, ReadsNumbers) {
  EXPECT_EQ(*ParseInt32("0"), 0);
  EXPECT_EQ(*ParseInt32("-5"), -5);
  EXPECT_EQ(*ParseInt32("2147483647"), 2147483647);
  for (const char* bad : {"", "2147483648", "1.5", "0x10", "ten", "1 2"}) {
    SCOPED_TRACE(bad);
    EXPECT_FALSE(ParseInt32(bad).ok());
  }
  EXPECT_EQ(*ParseInt64("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(*ParseInt64("9223372036854775807"), INT64_MAX);
  for (const char* bad : {"", "x", "1.5", "9223372036854775808"}) {
    EXPECT_FALSE(ParseInt64(bad).ok()) << bad;
  }
}

TEST(ValueTest, ReadsModesInOctal) {
  EXPECT_EQ(*ParseMode("0660"), 0660);
  EXPECT_EQ(*ParseMode("777"), 0777);
  EXPECT_EQ(*ParseMode("0"), 0);
  EXPECT_EQ(*ParseMode("1777"), 01777);  // For the daemon to refuse.
  for (const char* bad : {"", "8", "0o660", "rw", "-1", "7777777777"}) {
    SCOPED_TRACE(bad);
    EXPECT_FALSE(ParseMode(bad).ok());
  }
}

TEST(ValueTest, ReadsLabels) {
  using Label = std::pair<std::string, std::string>;
  EXPECT_EQ(*ParseLabel("a=b"), Label("a", "b"));
  EXPECT_EQ(*ParseLabel("a="), Label("a", ""));
  EXPECT_EQ(*ParseLabel("a=b=c"), Label("a", "b=c"));
  for (const char* bad : {"", "a", "=b"}) {
    SCOPED_TRACE(bad);
    EXPECT_FALSE(ParseLabel(bad).ok());
  }
}

TEST(ValueTest, ReadsEnums) {
  EXPECT_EQ(*ParseEnum<v1::WaitFor>("handlers-determined"),
            v1::WAIT_FOR_HANDLERS_DETERMINED);
  EXPECT_EQ(*ParseEnum<v1::EventKind>("LISTENER_CREATED"),
            v1::EVENT_KIND_LISTENER_CREATED);
  EXPECT_EQ(*ParseEnum<v1::OnHandlerError>("call"), v1::ON_HANDLER_ERROR_CALL);
  for (const char* bad : {"", "unspecified", "reset "}) {
    SCOPED_TRACE(bad);
    const auto wrong = ParseEnum<v1::ExistingConnections>(bad);
    ASSERT_FALSE(wrong.ok());
    EXPECT_NE(std::string(wrong.status().message())
                  .find("expected one of leave, close, reset"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace portreeve::cli
