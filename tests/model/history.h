// What was seen of one pair, by its sides and from the daemon's events.
#ifndef PORTREEVE_TESTS_MODEL_HISTORY_H_
#define PORTREEVE_TESTS_MODEL_HISTORY_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "portreeve/v1/connection.pb.h"
#include "tests/model/script.h"

namespace portreeve::model {

// What a side did, and what it saw.
struct SideHistory {
  enum class Kind { kNone, kTcp, kUnix, kStream };
  // How a socket was closed before it had seen an end.
  enum class Left {
    kNo,
    kReset,   // Surely by a reset.
    kEither,  // By close(2), with nothing unread: FIN, or a reset if something
              // came in that moment or later.
  };
  // The last that a socket saw.
  enum class End { kNone, kFin, kReset };

  Kind kind = Kind::kNone;  // None: there never was one.

  // What the kernel, or gRPC, took of it.
  int64_t sent = 0;
  bool urgent = false;  // Besides, one urgent byte.
  int64_t received = 0;
  std::optional<int64_t> first_wrong;  // The place of the first wrong byte.

  bool fin = false;  // It sent FIN, or `eof`, behind all that it sent.
  Left left = Left::kNo;
  End end = End::kNone;

  // Streams.
  bool opened = false;
  bool done = false;
  bool reset = false;
  bool raised = false;
  bool ended_stream = false;  // Behind all that it sent.
  bool cancelled = false;
  bool saw_eof = false;
  bool through_before_eof = false;  // done, reset or raised before saw_eof.
  std::optional<v1::CloseReason> closed;
  std::string disorder;       // Of frames; empty for none.
  std::optional<int> status;  // Of the call, as a grpc::StatusCode.
  std::string status_text;

  bool exists() const { return kind != Kind::kNone; }
  // The daemon may have seen an end behind all that it sent.
  bool may_have_ended_in_order() const {
    return fin || left == Left::kEither || done || raised || ended_stream;
  }
  bool may_have_reset() const { return left != Left::kNo; }
};

// What the daemon told of a connection.
struct ConnectionHistory {
  v1::CloseReason reason = v1::CLOSE_REASON_UNSPECIFIED;
  int64_t bytes_received = 0;
  int64_t bytes_sent = 0;
};

struct PairHistory {
  Handler handler = Handler::kEcho;
  bool age_limited = false;  // By less than the default.

  // Asked for from above, whatever became of it.
  bool close_called = false;     // CLOSE, of the connection or the listener.
  bool reset_called = false;     // RESET, of either.
  bool closed_one = false;       // CloseConnection, in whatever mode.
  bool closed_all = false;       // CloseListener with CLOSE or RESET.
  bool listener_closed = false;  // Whatever caused it.
  bool shut_down = false;        // The daemon got SIGTERM.

  SideHistory near;
  SideHistory far;
  // Unset if the daemon never told of it: not accepted, or refused at once.
  std::optional<ConnectionHistory> connection;

  std::chrono::milliseconds lasted{0};
};

std::string ToText(const PairHistory& pair);

}  // namespace portreeve::model

#endif  // PORTREEVE_TESTS_MODEL_HISTORY_H_
