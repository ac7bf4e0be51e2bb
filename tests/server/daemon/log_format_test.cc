// The lines of the log in both formats.
#include "server/daemon/log_format.h"

#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace portreeve::server {
namespace {

using ::testing::MatchesRegex;

const LogFormatter& Text() {
  static const auto* const text = new LogFormatter(LogFormat::kText);
  return *text;
}
const LogFormatter& Json() {
  static const auto* const json = new LogFormatter(LogFormat::kJson);
  return *json;
}

#define TIME "2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z"

std::string Field(const std::string& line, const char* name) {
  google::protobuf::Struct fields;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(line, &fields).ok())
      << line;
  return fields.fields().at(name).string_value();
}

TEST(LogFormatTest, TextHasTimeLevelNamesAndMessage) {
  EXPECT_THAT(Text().Format({LogLevel::kInfo, "started"}),
              MatchesRegex(TIME " info started"));
  EXPECT_THAT(Text().Format({LogLevel::kWarning, "no", "listeners/web"}),
              MatchesRegex(TIME " warning listeners/web: no"));
  EXPECT_THAT(Text().Format({LogLevel::kError, "no", "", "connections/a1"}),
              MatchesRegex(TIME " error connections/a1: no"));
  EXPECT_THAT(Text().Format({LogLevel::kDebug, "ended", "listeners/web",
                             "connections/a1"}),
              MatchesRegex(TIME " debug listeners/web connections/a1: ended"));
}

TEST(LogFormatTest, JsonHasThemAsFieldsAndLeavesOutWhatThereIsNot) {
  EXPECT_THAT(Json().Format({LogLevel::kInfo, "started"}),
              MatchesRegex("\\{\"time\":\"" TIME
                           "\",\"level\":\"info\",\"message\":\"started\"\\}"));
  EXPECT_THAT(
      Json().Format(
          {LogLevel::kDebug, "ended", "listeners/web", "connections/a1"}),
      MatchesRegex("\\{\"time\":\"" TIME
                   "\",\"level\":\"debug\",\"message\":\"ended\",\"listener\":"
                   "\"listeners/web\",\"connection\":\"connections/a1\"\\}"));
  EXPECT_EQ(Field(Json().Format({LogLevel::kWarning, "x"}), "level"),
            "warning");
  EXPECT_EQ(Field(Json().Format({LogLevel::kError, "x"}), "level"), "error");
}

TEST(LogFormatTest, TextsOfClientsStayWithinTheirLineAndField) {
  const std::string evil = "a\",\"level\":\"info\"}\n{\"\\ \x1b[31m \u202e é";
  const std::string json = Json().Format({LogLevel::kError, evil});
  EXPECT_EQ(Field(json, "message"), evil);
  EXPECT_EQ(Field(json, "level"), "error");
  for (const LogFormatter* formatter : {&Text(), &Json()}) {
    const std::string line = formatter->Format({LogLevel::kError, evil});
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_EQ(line.find('\x1b'), std::string::npos);
    EXPECT_EQ(line.find("\u202e"), std::string::npos);
    EXPECT_NE(line.find("\u00e9"), std::string::npos);
  }
  EXPECT_EQ(Field(Json().Format({LogLevel::kError, "\xff"}), "message"),
            "\\xff");
}

TEST(LogFormatTest, TheTimeIsThatOfTheCallAndUtc) {
  const absl::Time before = absl::Now() - absl::Milliseconds(1);
  absl::Time parsed;
  std::string error;
  ASSERT_TRUE(absl::ParseTime(
      absl::RFC3339_full, Field(Json().Format({LogLevel::kInfo, "x"}), "time"),
      &parsed, &error))
      << error;
  EXPECT_GE(parsed, before);
  EXPECT_LE(parsed, absl::Now());
}

TEST(LogFormatTest, DroppedLinesAreALine) {
  const std::string message =
      "12 lines were dropped here: stderr did not take them";
  EXPECT_THAT(Text().DroppedLines(12),
              MatchesRegex(TIME " warning " + message));
  EXPECT_EQ(Field(Json().DroppedLines(12), "message"), message);
  EXPECT_EQ(Field(Json().DroppedLines(12), "level"), "warning");
}

TEST(LogFormatTest, AFailedStartIsToldAsTextWithoutTime) {
  EXPECT_EQ(Text().FailedStart("in\nuse"), "portreeved: in\\u000ause");
  EXPECT_EQ(Field(Json().FailedStart("in use"), "message"), "in use");
  EXPECT_EQ(Field(Json().FailedStart("in use"), "level"), "error");
}

}  // namespace
}  // namespace portreeve::server
