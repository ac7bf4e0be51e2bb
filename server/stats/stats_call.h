// StatsCall: one WatchStats call.
#ifndef PORTREEVE_SERVER_STATS_STATS_CALL_H_
#define PORTREEVE_SERVER_STATS_STATS_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/status.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "lib/base/loop.h"
#include "lib/base/time_source.h"
#include "server/calls/open_calls.h"
#include "server/calls/unread_answers.h"
#include "server/control/control_connection.h"
#include "server/stats/stats_board.h"

namespace portreeve::server {

// Tells the client what there is, and what has changed of it each time that the
// clock has come to a multiple of the interval; a client that has not read by
// then is told when it has.  What is on its way to it counts as an unread
// answer of its connection.
//
// Threads: every field is touched on the loop only; gRPC's reactions post.
// Lifetime: the owner keeps it until `on_done`, which is called on the loop
// once gRPC has let go of it.
class StatsCall final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                        public OpenCall,
                        private StatsBoard::Watcher {
 public:
  // What the client has asked for, and how much of that a message has at most,
  // unless one listener has more.
  struct Wish {
    Duration interval{};
    std::set<std::string> names;  // Of listeners; none: all.
    size_t max_message_bytes = 0;
  };

  // `loop`, `board` and `unread` outlive it; `context` is the call's.
  // Threads: any.
  StatsCall(Loop& loop, StatsBoard& board, UnreadAnswers& unread,
            const grpc::CallbackServerContext& context, Wish wish,
            std::function<void(StatsCall*)> on_done);

  // Sends initial metadata, and all that there is.
  // Threads: loop thread only.
  void Start();

  // Ends the call with OK, after what is on its way; with SHUTTING_DOWN before
  // Start().  Idempotent.
  // Threads: loop thread only.
  void CloseForShutdown() override;

  // Ends the call after the message that is on its way, if there is one.  The
  // first status counts.
  // Threads: loop thread only.
  void Close(const grpc::Status& status);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  int64_t told() const override { return told_; }
  void OnLook() override;

  void SendNext();
  void WaitForNext();
  // So many bytes are on their way no more.
  void Uncount(size_t bytes);
  void FinishIfIdle();

  Loop& loop_;
  StatsBoard& board_;
  UnreadAnswers& unread_;
  const grpc::CallbackServerContext& context_;  // Until OnDone().
  const std::string peer_;
  const std::shared_ptr<ControlConnection> connection_;  // Null: not counted.
  const Wish wish_;
  const std::function<void(StatsCall*)> on_done_;

  bool started_ = false;
  int64_t told_ = 0;
  std::deque<std::string> messages_;  // Those that are still to be sent.
  size_t bytes_ = 0;      // That are counted: these, and the one in flight.
  size_t in_flight_ = 0;  // The bytes of that; 0: there is none.
  std::optional<grpc::Status> status_;  // Once it is to finish.
  bool finished_ = false;
  grpc::ByteBuffer message_;  // The one on its way; gRPC reads it.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATS_STATS_CALL_H_
