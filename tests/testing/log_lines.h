// LogLines: the log, for a test that reads it.
#ifndef PORTREEVE_TESTS_TESTING_LOG_LINES_H_
#define PORTREEVE_TESTS_TESTING_LOG_LINES_H_

#include <mutex>
#include <string>
#include <vector>

#include "lib/base/log.h"
#include "tests/testing/loop_fixture.h"

namespace portreeve::testing {

// Takes the lines of `least` and above for as long as it lives, in place of
// another sink.  Threads: any.
class LogLines {
 public:
  explicit LogLines(LogLevel least = LogLevel::kInfo) {
    SetLogSink([this](const LogLine& line) { Add(LoggedText(line)); }, least);
  }
  LogLines(const LogLines&) = delete;
  LogLines& operator=(const LogLines&) = delete;
  ~LogLines() { SetLogSink(nullptr); }

  // The lines up to now, as LoggedText() gives them.
  std::vector<std::string> lines() const {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  void Add(std::string line) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(std::move(line));
  }

  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_LOG_LINES_H_
