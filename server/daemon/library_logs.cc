#include "server/daemon/library_logs.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"

namespace portreeve::server {
namespace {

bool logs_lines_of_grpc = false;

// Writes without waiting, and not through the queue of the log, which ends with
// the process.
void WriteNow(const std::string& line) {
  pollfd wanted{STDERR_FILENO, POLLOUT, 0};
  if (poll(&wanted, 1, 0) != 1) return;
  [[maybe_unused]] const ssize_t written =
      write(STDERR_FILENO, line.data(), line.size());
}

LogLevel LevelOf(gpr_log_severity severity) {
  switch (severity) {
    case GPR_LOG_SEVERITY_DEBUG:
      return LogLevel::kDebug;
    case GPR_LOG_SEVERITY_INFO:
      return LogLevel::kInfo;
    case GPR_LOG_SEVERITY_ERROR:
      break;
  }
  return LogLevel::kError;
}

LogLevel LevelOf(google::protobuf::LogLevel level) {
  switch (level) {
    case google::protobuf::LOGLEVEL_INFO:
      return LogLevel::kInfo;
    case google::protobuf::LOGLEVEL_WARNING:
      return LogLevel::kWarning;
    case google::protobuf::LOGLEVEL_ERROR:
    case google::protobuf::LOGLEVEL_FATAL:
      break;
  }
  return LogLevel::kError;
}

void LogOfGrpc(gpr_log_func_args* args) {
  // This is the line of GPR_ASSERT(), which calls abort(3) next.
  const bool is_last = absl::StartsWith(args->message, "assertion failed");
  if (!is_last && !logs_lines_of_grpc) return;
  const std::string line =
      absl::StrCat("gRPC: ", args->file, ":", args->line, ": ", args->message);
  if (is_last) return WriteNow(absl::StrCat("portreeved: ", line, "\n"));
  Log(LevelOf(args->severity), line);
}

// Whether the line is about a request.  Clients can cause as many of those as
// they like, and each such request is refused with an error of its own.
bool IsAboutARequest(const std::string& message) {
  return absl::StrContains(message, "invalid UTF-8 data when parsing");
}

void LogOfProtobuf(google::protobuf::LogLevel level, const char* file, int line,
                   const std::string& message) {
  if (IsAboutARequest(message)) return;
  Log(LevelOf(level),
      absl::StrCat("protobuf: ", file, ":", line, ": ", message));
}

}  // namespace

void LogTheLinesOfLibraries() {
  logs_lines_of_grpc = std::getenv("GRPC_VERBOSITY") != nullptr;
  // If it logged less, gRPC would end the process without a word.
  if (!logs_lines_of_grpc) gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  gpr_set_log_function(&LogOfGrpc);
  google::protobuf::SetLogHandler(&LogOfProtobuf);
}

}  // namespace portreeve::server
