// The lines of gRPC and of libprotobuf.
#ifndef PORTREEVE_SERVER_DAEMON_LIBRARY_LOGS_H_
#define PORTREEVE_SERVER_DAEMON_LIBRARY_LOGS_H_

namespace portreeve::server {

// Sends them to Log() (lib/base/log.h), one line each, but for two kinds.
// Those of gRPC, which explain what the daemon says in its own words, are left
// out unless GRPC_VERBOSITY is in the environment; those about requests that
// are not UTF-8 always are.  The line of an assertion with which gRPC ends the
// process goes to stderr at once, if that takes it.
//
// It must be called before the first use of either library, and before there
// are threads.
void LogTheLinesOfLibraries();

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_LIBRARY_LOGS_H_
