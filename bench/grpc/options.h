// The options of grpc_load's modes.
#ifndef PORTREEVE_BENCH_GRPC_OPTIONS_H_
#define PORTREEVE_BENCH_GRPC_OPTIONS_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace portreeve::bench {

// The options of every mode.
struct Target {
  std::string server;        // "HOST:PORT", in the form that gRPC takes.
  std::optional<pid_t> pid;  // The server's, to measure its CPU time.
};

struct ControlOptions {
  int64_t calls = 2000;    // Pairs of create and close.
  int64_t warm_up = 1200;  // Pairs that come before those.
  int in_flight = 16;
  // These three are for each call of `sockets`.
  int question_bytes = 32;
  int answer_bytes = 192;
  bool on_loop = false;
};

struct UnaryOptions {
  int64_t calls = 4000;
  int64_t warm_up = 2400;
  int in_flight = 16;
  int question_bytes = 32;
  int answer_bytes = 192;
};

struct FirstByteOptions {
  int listeners_open = 1000;
  int rounds = 200;
};

struct WatchOptions {
  int watchers = 8;
  int lone_events = 0;
};

struct HoldOptions {
  int streams = 1;
};

struct BulkOptions {
  int connections = 4;
  int message_bytes = 32 * 1024;
  int64_t bytes = int64_t{256} << 20;  // Of all connections together, each way.
  int in_flight = 4;                   // Messages of one connection.
};

// Gives how many messages each connection has to move, at least one.
inline int64_t MessagesOfEach(const BulkOptions& options) {
  const int64_t of_all = options.bytes / options.message_bytes;
  return of_all < options.connections ? 1 : of_all / options.connections;
}

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_OPTIONS_H_
