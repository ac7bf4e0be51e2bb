// FrozenConnection: what a connection of a built-in handler is at a moment, for
// another process to go on with.
#ifndef PORTREEVE_SERVER_HANDLERS_FROZEN_CONNECTION_H_
#define PORTREEVE_SERVER_HANDLERS_FROZEN_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "lib/base/time_source.h"
#include "lib/lane/frozen_direct.h"
#include "lib/net/buffer_age_limit.h"

namespace portreeve::server {

// What a Pump is.  What its members say is said there; times are those of the
// machine's steady clock.
struct FrozenPump {
  int64_t received = 0;
  // What is held: these bytes, or as many in a pipe as this says.
  std::string copy;
  uint32_t in_pipe = 0;
  std::optional<TimePoint> held_since;
  bool readable = false;
  bool hung_up = false;
  bool source_failed = false;
  bool met_eof = false;
  bool target_failed = false;
  bool out_of_memory = false;
  bool has_sent = false;
  bool bulk = false;
  bool looks_later = false;
  bool splices = true;
  bool short_reads_are_all = true;
  bool no_delay = false;

  friend bool operator==(const FrozenPump&, const FrozenPump&) = default;
};

// A direction of a connection (PumpedConnection).
struct FrozenFlow {
  FrozenPump pump;
  bool blocked = false;
  bool ended = false;
  bool shut = false;

  friend bool operator==(const FrozenFlow&, const FrozenFlow&) = default;
};

struct FrozenEcho {
  FrozenFlow flow;

  friend bool operator==(const FrozenEcho&, const FrozenEcho&) = default;
};

struct FrozenDiscard {
  bool reads_to_the_end = false;

  friend bool operator==(const FrozenDiscard&, const FrozenDiscard&) = default;
};

// What one is that has not reached its upstream yet.
struct FrozenConnecting {
  TimePoint connect_by;
  // Whether its socket is connecting already; else it has to begin, again or
  // for the first time.
  bool has_socket = false;
  // By what it connects: whoever goes on with it has to do so by the same.
  std::string upstream;
  Duration connect_timeout{};

  friend bool operator==(const FrozenConnecting&,
                         const FrozenConnecting&) = default;
};

struct FrozenForward {
  std::optional<FrozenConnecting> connecting;  // Nothing: it is connected.
  FrozenFlow to_upstream;
  FrozenFlow to_client;
  bool is_unix = false;  // The upstream.
  BufferAgeLimit upstream_age_limit;
  bool keepalive_is_due = false;         // It is not set on the upstream yet.
  std::optional<Duration> connect_time;  // As ForwardConnectTime() gives it.

  friend bool operator==(const FrozenForward&, const FrozenForward&) = default;
};

struct FrozenConnection {
  FrozenDirect direct;
  std::variant<FrozenEcho, FrozenDiscard, FrozenForward> handler;

  friend bool operator==(const FrozenConnection&,
                         const FrozenConnection&) = default;
};

// Gives how many descriptors a connection of its kind is counted with.
int NumCounted(const FrozenConnection& frozen);
// Gives how many sockets it has: the client's, and perhaps the upstream's.
int NumSockets(const FrozenConnection& frozen);
// Gives how many descriptors it has: its sockets, then, for each flow that
// holds bytes in a pipe, both ends of that, the one to read from first.
size_t NumDescriptors(const FrozenConnection& frozen);
// Gives its flows, the one from the client first.
std::vector<const FrozenFlow*> FlowsOf(const FrozenConnection& frozen);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDLERS_FROZEN_CONNECTION_H_
