// The lines of the audit log.
#include "server/access/audit_log.h"

#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "lib/base/status.h"
#include "server/api/errors.h"
#include "tests/testing/audit_lines.h"
#include "tests/testing/shown_text.h"

namespace portreeve::server {
namespace {

using ::portreeve::testing::AuditLines;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr char kMethod[] = "portreeve.v1.ListenerService/CreateListener";

std::string Field(const std::string& line, const char* name) {
  google::protobuf::Struct fields;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(line, &fields).ok())
      << line;
  EXPECT_EQ(fields.fields_size(), 5) << line;
  return fields.fields().at(name).string_value();
}

// The line of one change.
std::string LineOf(const std::string& who, const std::string& name,
                   const absl::Status& result) {
  AuditLines audit;
  audit.log().Write(who, kMethod, name, result);
  EXPECT_EQ(audit.lines().size(), 1u);
  EXPECT_EQ(audit.lines().at(0).find('\n'), std::string::npos);
  return audit.lines().at(0);
}

TEST(AuditLogTest, ALineHasWhatWhenAndByWhom) {
  const absl::Time before = absl::Now() - absl::Milliseconds(1);
  const std::string line = LineOf("alice", "listeners/web", absl::OkStatus());
  EXPECT_THAT(
      line,
      MatchesRegex(
          "\\{\"time\":\"[0-9]+-[0-9]+-[0-9]+T[0-9]+:[0-9]+:[0-9]+\\.[0-9]+Z\","
          "\"who\":\"alice\","
          "\"method\":\"portreeve.v1.ListenerService/CreateListener\","
          "\"name\":\"listeners/web\",\"result\":\"OK\"\\}"));
  const std::string time = Field(line, "time");
  EXPECT_EQ(time.size(), std::string("2022-01-01T00:00:00.000Z").size());
  absl::Time parsed;
  std::string error;
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, time, &parsed, &error));
  EXPECT_GE(parsed, before);
  EXPECT_LE(parsed, absl::Now());
}

TEST(AuditLogTest, ResultsAreReasonsOrElseCodes) {
  EXPECT_EQ(Field(LineOf("w", "n", NotFound("n")), "result"), "NOT_FOUND");
  EXPECT_EQ(Field(LineOf("w", "n", RoleRequired("no")), "result"),
            "ROLE_REQUIRED");
  EXPECT_EQ(Field(LineOf("w", "n", OutsidePolicy("f", "a", "no")), "result"),
            "OUTSIDE_POLICY");
  EXPECT_EQ(Field(LineOf("w", "n", InvalidField("f", "no")), "result"),
            "INVALID_FIELD");
  EXPECT_EQ(Field(LineOf("w", "n", absl::UnimplementedError("no")), "result"),
            "UNIMPLEMENTED");
}

TEST(AuditLogTest, TextsOfClientsStayWithinTheirField) {
  const std::string evil = "a\",\"result\":\"OK\"}\n{\"x\":\"\\ \x01 \u2028 é";
  const std::string line = LineOf(evil, evil, NotFound("n"));
  EXPECT_EQ(Field(line, "who"), evil);
  EXPECT_EQ(Field(line, "name"), evil);
  EXPECT_EQ(Field(line, "result"), "NOT_FOUND");
}

TEST(AuditLogTest, CharactersThatDoNotShowThemselvesAreEscaped) {
  for (const auto& row : testing::kShownTexts) {
    const std::string line = LineOf(row.text, row.text, absl::OkStatus());
    EXPECT_THAT(line, HasSubstr(absl::StrCat("\"who\":\"", row.json, "\",")));
    EXPECT_THAT(line, HasSubstr(absl::StrCat("\"name\":\"", row.json, "\",")));
    EXPECT_EQ(Field(line, "who"), row.text);
  }
}

TEST(AuditLogTest, TextThatIsNotUtf8IsEscapedAndLongTextIsCut) {
  const std::string line =
      LineOf("\xff", std::string(1'000'000, 'x') + "é", absl::OkStatus());
  EXPECT_EQ(Field(line, "who"), "\\xff");
  EXPECT_EQ(Field(line, "name"), std::string(512, 'x'));
  std::string accents;
  while (accents.size() < 2000) accents += "xé";
  EXPECT_EQ(Field(LineOf("w", accents, absl::OkStatus()), "name"),
            accents.substr(0, 511));
}

TEST(AuditLogTest, LinesThatWereDroppedAreAnObjectToo) {
  EXPECT_THAT(AuditLog::LineOfDropped(12),
              MatchesRegex("\\{\"time\":\"[0-9T:.-]+Z\",\"dropped\":12\\}"));
}

}  // namespace
}  // namespace portreeve::server
