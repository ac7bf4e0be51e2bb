// AuditLog: one line of JSON for each change that a client makes or tries.
#ifndef PORTREEVE_SERVER_ACCESS_AUDIT_LOG_H_
#define PORTREEVE_SERVER_ACCESS_AUDIT_LOG_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace portreeve::server {

// Audits one call: what became of it, and of `name` ("listeners/web"; may be
// empty).
using AuditFunction =
    std::function<void(const std::string& name, const absl::Status& result)>;

// {"time":"...","who":"...","method":"portreeve.v1.ListenerService/
// CreateListener","name":"listeners/web","result":"OK"}: result is OK, or the
// reason of the error, or its code.
// Threads: any, if those of `write` are.
class AuditLog {
 public:
  // `write` takes a line without a line feed, and must not wait for whoever
  // reads it.
  explicit AuditLog(std::function<void(std::string_view line)> write);

  // `method` is "portreeve.v1.ListenerService/CreateListener".  Texts are
  // clipped.
  void Write(const std::string& who, const std::string& method,
             const std::string& name, const absl::Status& result);

  // Gives {"time":"...","dropped":3}, which stands in place of lines that could
  // not be kept.
  static std::string LineOfDropped(int64_t lines);

 private:
  const std::function<void(std::string_view)> write_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_ACCESS_AUDIT_LOG_H_
