// AuditLog: one line of JSON for each change that a client makes or tries.
#ifndef PORTREEVE_SERVER_AUDIT_LOG_H_
#define PORTREEVE_SERVER_AUDIT_LOG_H_

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/descriptor.h"

namespace portreeve::server {

// {"time":"...","who":"...","method":"portreeve.v1.ListenerService/
// CreateListener","name":"listeners/web","result":"OK"}: result is OK, or the
// reason of the error, or its code.
// Threads: any; a line is one write(2).
class AuditLog {
 public:
  // To stderr.
  static std::unique_ptr<AuditLog> ToStandardError();
  // Appends to a file; one that is new has mode 0600.  Errors: those of
  // open(2), one line.
  static absl::StatusOr<std::unique_ptr<AuditLog>> ToFile(
      const std::string& path);

  // `method` is "portreeve.v1.ListenerService/CreateListener".  Texts are
  // clipped.  That lines cannot be written is logged once, until one can be
  // again.
  void Write(const std::string& who, const std::string& method,
             const std::string& name, const absl::Status& result);

 private:
  explicit AuditLog(Descriptor file);

  const Descriptor file_;  // Not open: stderr.
  std::atomic<bool> failing_ = false;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_AUDIT_LOG_H_
