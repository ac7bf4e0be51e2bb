// The lines of gRPC and of libprotobuf.
#ifndef PORTREEVE_SERVER_DAEMON_LIBRARY_LOGS_H_
#define PORTREEVE_SERVER_DAEMON_LIBRARY_LOGS_H_

namespace portreeve::server {

// Sends them to Log() (lib/base/log.h), one line each; of gRPC's own, which
// explain what the daemon says in its own words, none without GRPC_VERBOSITY in
// the environment; and none about requests that are not UTF-8.  The line of an
// assertion with which gRPC ends the process goes to stderr at once, if that
// takes it.  Before the first use of either, and before there are threads.
void LogTheLinesOfLibraries();

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_LIBRARY_LOGS_H_
