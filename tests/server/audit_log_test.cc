// The lines of the audit log.
#include "server/audit_log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "lib/log.h"
#include "lib/status.h"
#include "server/errors.h"
#include "tests/testing/server_fixture.h"
#include "tests/testing/shown_text.h"

namespace portreeve::server {
namespace {

using ::portreeve::testing::TemporaryFolder;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr char kMethod[] = "portreeve.v1.ListenerService/CreateListener";

std::vector<std::string> LinesOf(const std::string& file) {
  std::ifstream stream(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string Field(const std::string& line, const char* name) {
  google::protobuf::Struct fields;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(line, &fields).ok())
      << line;
  EXPECT_EQ(fields.fields_size(), 5) << line;
  return fields.fields().at(name).string_value();
}

class AuditLogTest : public ::testing::Test {
 protected:
  std::string file() const { return folder_.File("audit"); }
  // The line of one change.
  std::string LineOf(const std::string& who, const std::string& name,
                     const absl::Status& result) {
    auto log = AuditLog::ToFile(file());
    EXPECT_TRUE(log.ok()) << log.status();
    (*log)->Write(who, kMethod, name, result);
    return LinesOf(file()).back();
  }
  const TemporaryFolder& folder() const { return folder_; }

 private:
  const TemporaryFolder folder_;
};

TEST_F(AuditLogTest, ALineHasWhatWhenAndByWhom) {
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

TEST_F(AuditLogTest, ResultsAreReasonsOrElseCodes) {
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

TEST_F(AuditLogTest, TextsOfClientsStayWithinTheirField) {
  const std::string evil = "a\",\"result\":\"OK\"}\n{\"x\":\"\\ \x01 \u2028 é";
  const std::string line = LineOf(evil, evil, NotFound("n"));
  EXPECT_EQ(LinesOf(file()).size(), 1u);
  EXPECT_EQ(Field(line, "who"), evil);
  EXPECT_EQ(Field(line, "name"), evil);
  EXPECT_EQ(Field(line, "result"), "NOT_FOUND");
}

TEST_F(AuditLogTest, CharactersThatDoNotShowThemselvesAreEscaped) {
  for (const auto& row : testing::kShownTexts) {
    const std::string line = LineOf(row.text, row.text, absl::OkStatus());
    EXPECT_THAT(line, HasSubstr(absl::StrCat("\"who\":\"", row.json, "\",")));
    EXPECT_THAT(line, HasSubstr(absl::StrCat("\"name\":\"", row.json, "\",")));
    EXPECT_EQ(Field(line, "who"), row.text);
  }
}

TEST_F(AuditLogTest, TextThatIsNotUtf8IsEscapedAndLongTextIsCut) {
  const std::string line =
      LineOf("\xff", std::string(1'000'000, 'x') + "é", absl::OkStatus());
  EXPECT_EQ(Field(line, "who"), "\\xff");
  EXPECT_EQ(Field(line, "name"), std::string(512, 'x'));
  std::string accents;
  while (accents.size() < 2000) accents += "xé";
  EXPECT_EQ(Field(LineOf("w", accents, absl::OkStatus()), "name"),
            accents.substr(0, 511));
}

TEST_F(AuditLogTest, FilesAreAppendedToAndPrivate) {
  const mode_t mask = umask(0);
  LineOf("first", "n", absl::OkStatus());
  umask(mask);
  struct stat status {};
  ASSERT_EQ(stat(file().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  LineOf("second", "n", absl::OkStatus());
  const auto lines = LinesOf(file());
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(Field(lines[0], "who"), "first");
  EXPECT_EQ(Field(lines[1], "who"), "second");
}

TEST_F(AuditLogTest, LinesOfManyThreadsDoNotMix) {
  auto log = AuditLog::ToFile(file());
  ASSERT_TRUE(log.ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&log, t] {
      for (int i = 0; i < 100; ++i) {
        (*log)->Write(std::string(400, static_cast<char>('a' + t)), kMethod,
                      "n", absl::OkStatus());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto lines = LinesOf(file());
  EXPECT_EQ(lines.size(), 400u);
  for (const std::string& line : lines) {
    const std::string who = Field(line, "who");
    EXPECT_EQ(who, std::string(400, who[0]));
  }
}

TEST_F(AuditLogTest, AFileThatCannotBeOpenedIsNamed) {
  EXPECT_EQ(std::string(AuditLog::ToFile(folder().path()).status().message()),
            "open " + folder().path() + ": Is a directory");
  EXPECT_EQ(
      std::string(
          AuditLog::ToFile(folder().File("none/audit")).status().message()),
      "open " + folder().File("none/audit") + ": No such file or directory");
}

TEST_F(AuditLogTest, AFailureIsLoggedOnce) {
  std::vector<std::string> logged;
  SetLogSink([&logged](std::string_view line) { logged.emplace_back(line); });
  auto log = AuditLog::ToFile("/dev/full");
  ASSERT_TRUE(log.ok());
  for (int i = 0; i < 3; ++i) {
    (*log)->Write("w", kMethod, "n", absl::OkStatus());
  }
  SetLogSink(nullptr);
  EXPECT_EQ(logged, std::vector<std::string>(
                        {"write the audit log: No space left on device"}));
}

TEST(AuditLogToStandardErrorTest, WritesToDescriptorTwo) {
  ::testing::internal::CaptureStderr();
  AuditLog::ToStandardError()->Write("w", kMethod, "n", absl::OkStatus());
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.back(), '\n');
  EXPECT_EQ(Field(text, "who"), "w");
}

}  // namespace
}  // namespace portreeve::server
