#include "server/library_logs.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>

#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "lib/log.h"

namespace portreeve::server {
namespace {

void LogOfGrpc(gpr_log_func_args* line) {
  Log(absl::StrCat("gRPC: ", line->file, ":", line->line, ": ", line->message));
}

void LogOfProtobuf(google::protobuf::LogLevel, const char* file, int line,
                   const std::string& message) {
  Log(absl::StrCat("protobuf: ", file, ":", line, ": ", message));
}

}  // namespace

void LogTheLinesOfLibraries() {
  setenv("GRPC_VERBOSITY", "NONE", 0);
  gpr_set_log_function(&LogOfGrpc);
  google::protobuf::SetLogHandler(&LogOfProtobuf);
}

}  // namespace portreeve::server
