// MessageFlow: the messages of one connection in a bulk mode.
#ifndef PORTREEVE_BENCH_GRPC_MESSAGE_FLOW_H_
#define PORTREEVE_BENCH_GRPC_MESSAGE_FLOW_H_

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "bench/grpc/measurement.h"

namespace portreeve::bench {

// Decides what is sent next and checks what comes back.
// Threads: any, one at a time.
class MessageFlow {
 public:
  // `tally` gets the latency of each message, and must outlive this.
  MessageFlow(int message_bytes, int in_flight, Tally& tally);

  // Allows `messages` more to be sent.
  void Add(int64_t messages);

  // Gives what may be sent now, of one message; empty while enough is on its
  // way.  It stays valid until the flow is destroyed.
  std::string_view ToSend() const;
  void OnSent(size_t bytes);

  // False if `data` is not what was sent.
  bool OnReceived(std::string_view data);

  // Whether all that was added has come back.
  bool done() const { return received_ == total_; }

 private:
  const std::string message_;
  const int64_t most_on_their_way_;  // Bytes.
  Tally& tally_;
  int64_t total_ = 0;
  int64_t sent_ = 0;
  int64_t received_ = 0;
  std::deque<Clock::time_point> begun_;  // When each message on its way began.
};

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_MESSAGE_FLOW_H_
