#include "lib/base/log.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace portreeve {
namespace {

class LogTest : public ::testing::Test {
 protected:
  ~LogTest() override { SetLogSink(nullptr); }
};

TEST_F(LogTest, TheNamesStandBeforeTheMessage) {
  EXPECT_EQ(TextOf({LogLevel::kInfo, "text"}), "text");
  EXPECT_EQ(TextOf({LogLevel::kInfo, "text", "listeners/a"}),
            "listeners/a: text");
  EXPECT_EQ(TextOf({LogLevel::kInfo, "text", "", "connections/a1"}),
            "connections/a1: text");
  EXPECT_EQ(TextOf({LogLevel::kInfo, "text", "listeners/a", "connections/a1"}),
            "listeners/a connections/a1: text");
}

TEST_F(LogTest, OnlyTheLevelsThatWereAskedForReachTheSink) {
  constexpr LogLevel kLevels[] = {LogLevel::kDebug, LogLevel::kInfo,
                                  LogLevel::kWarning, LogLevel::kError};
  for (const LogLevel least : kLevels) {
    std::vector<LogLevel> seen, expected;
    SetLogSink([&](const LogLine& line) { seen.push_back(line.level); }, least);
    for (const LogLevel level : kLevels) {
      Log(level, "text");
      EXPECT_EQ(IsLogged(level), level >= least);
      if (level >= least) expected.push_back(level);
    }
    EXPECT_EQ(seen, expected);
  }
}

TEST_F(LogTest, TheDefaultIsALineOnStderrWithoutDebug) {
  ::testing::internal::CaptureStderr();
  Log(LogLevel::kDebug, "one");
  Log(LogLevel::kInfo, "two");
  Log({LogLevel::kError, "three", "listeners/a"});
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "portreeve: two\nportreeve: listeners/a: three\n");
}

TEST_F(LogTest, WhatTheSinkThrowsIsNoneOfTheCallersBusiness) {
  SetLogSink([](const LogLine&) { throw std::runtime_error("no"); });
  Log(LogLevel::kError, "text");
}

}  // namespace
}  // namespace portreeve
