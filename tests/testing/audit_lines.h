// AuditLines: an audit log that a test reads.
#ifndef PORTREEVE_TESTS_TESTING_AUDIT_LINES_H_
#define PORTREEVE_TESTS_TESTING_AUDIT_LINES_H_

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "server/access/audit_log.h"

namespace portreeve::testing {

// Threads: any.
class AuditLines {
 public:
  server::AuditLog& log() { return log_; }

  // The lines up to now.
  std::vector<std::string> lines() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return lines_;
  }

 private:
  void Add(std::string_view line) {
    std::lock_guard<std::mutex> lock(mutex_);
    lines_.emplace_back(line);
  }

  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
  server::AuditLog log_{[this](std::string_view line) { Add(line); }};
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_AUDIT_LINES_H_
