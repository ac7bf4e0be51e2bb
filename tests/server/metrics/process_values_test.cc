// What the kernel says of this process.
#include "server/metrics/process_values.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <string>
#include <vector>

#include "lib/base/descriptor.h"

namespace portreeve::server {
namespace {

TEST(ProcessValuesTest, AStatIsReadWhateverTheProgramIsCalled) {
  const std::string rest =
      " S 1 2 3 4 -1 4194304 100 0 1 0 700 80 5 5 20 0 3 0 12345 99999 2048 "
      "18446744073709551615 1 1 0\n";
  for (const char* name : {"portreeved", "a b", ") S 1 (", "(((", "\n9 9"}) {
    const auto stat = ParseProcessStat("42 (" + std::string(name) + ")" + rest);
    ASSERT_TRUE(stat.has_value()) << name;
    EXPECT_EQ(stat->cpu_ticks, 780);
    EXPECT_EQ(stat->start_ticks, 12345);
    EXPECT_EQ(stat->resident_pages, 2048);
  }
}

TEST(ProcessValuesTest, WhatIsNoStatIsRefused) {
  for (const char* text : {"", "42", "42 (name)", "42 (name) S 1 2 3",
                           "42 (n) S 1 2 3 4 5 6 7 8 9 10 x 12 13 14 15 16 17 "
                           "18 19 20 21 22 23"}) {
    EXPECT_FALSE(ParseProcessStat(text).has_value()) << text;
  }
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) +
           static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

TEST(ProcessValuesTest, TheyAreThoseOfTheProcess) {
  const ProcessValues before = ReadProcessValues();
  std::vector<Descriptor> more;
  for (int i = 0; i < 7; ++i) {
    more.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
  }
  const ProcessValues after = ReadProcessValues();
  EXPECT_EQ(after.open_fds, before.open_fds + 7);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_EQ(after.max_fds, static_cast<int64_t>(limit.rlim_cur));
  EXPECT_GT(after.resident_bytes, 1 << 20);
  EXPECT_LE(after.cpu_seconds, CpuSeconds() + 0.02);  // It counts in ticks.
  EXPECT_GE(after.cpu_seconds, before.cpu_seconds);
  EXPECT_EQ(after.start_time, before.start_time);
  timeval now{};
  gettimeofday(&now, nullptr);
  EXPECT_LT(after.start_time, static_cast<double>(now.tv_sec) + 2);
  EXPECT_GT(after.start_time, static_cast<double>(now.tv_sec) - 3600);
}

}  // namespace
}  // namespace portreeve::server
