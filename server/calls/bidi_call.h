// BidiCall: one bidirectional call of gRPC, driven from the loop.
#ifndef PORTREEVE_SERVER_CALLS_BIDI_CALL_H_
#define PORTREEVE_SERVER_CALLS_BIDI_CALL_H_

#include <google/protobuf/message_lite.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "lib/base/loop.h"
#include "lib/base/time_source.h"
#include "server/calls/open_calls.h"
#include "server/control/control_connection.h"

namespace portreeve::server {

// What Attach, Dial and Handle have in common.  Messages are raw, since gRPC
// reports a message that it cannot parse and the client's end in the same way.
//
// Threads: every field is touched on the loop only, but for those that gRPC
// owns while a read or a write is in flight.  The methods are called there,
// too, but for gRPC's reactions, which post to the loop, and for TakeDirectly()
// and ContinueSending().
// Lifetime: the owner keeps it until `on_done`, which is called on the loop
// once gRPC has let go of it.  Close() must be called in the end.
class BidiCall
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public OpenCall {
 public:
  // Ends the call with `status`, once what was given to Send() is sent.  Only
  // the first call of Close() counts.  A broken call needs it, too.
  virtual void Close(const absl::Status& status);

  // Ends the call with SHUTTING_DOWN if no message has come yet.  Another one
  // ends when its connection or its listener does.
  void CloseForShutdown() override;

  void OnReadDone(bool ok) final;
  void OnWriteDone(bool ok) final;
  void OnCancel() final;
  void OnDone() final;

 protected:
  using OnDoneFunction = std::function<void(BidiCall*)>;

  // `loop` outlives it; `context` is the call's.
  // Threads: any.
  BidiCall(Loop& loop, const grpc::CallbackServerContext& context,
           OnDoneFunction on_done);

  // Asks for the next message, unless that was done already: one OnMessage(),
  // OnClientEnd() or OnBroken() follows, unless the call ends before.
  void ReadNext();

  static grpc::ByteBuffer Encode(const google::protobuf::MessageLite& message);

  // Sends `message` after those before it.  `on_sent` gets true when HTTP/2's
  // flow control has taken the message over, and false when it never will; it
  // must not use this call.
  void Send(grpc::ByteBuffer message, std::function<void(bool)> on_sent);

  // Sends `message` in the same way, and after it, one by one, what
  // ContinueSending() gives, until that is nothing.  `on_sent` is called only
  // once AwaitSent() has asked for it, so that nobody is woken for nothing.
  void SendAndContinue(grpc::ByteBuffer message,
                       std::function<void(bool)> on_sent);
  void AwaitSent();

  // Gives false if `raw` is not a message of the type of `message`.
  static bool Parse(grpc::ByteBuffer raw,
                    google::protobuf::MessageLite& message);

  // Forgets what is not on its way yet.
  void DropUnsent();

  // What a call of Attach or Dial counts as among the calls of its client
  // (server/control/control_connection.h).
  enum class Carries { kNothing, kUnjoined, kConnection, kEnded };
  void SetCarries(Carries carries);

  bool reading() const { return read_in_flight_; }
  bool closed() const { return status_.has_value(); }  // Close() was called.
  bool is_broken() const { return broken_; }
  Loop& loop() const { return loop_; }

  // Gives true if it has dealt with `message`: then the next one is read, and
  // OnMessage() is not called.
  // Threads: one of gRPC, while ReadNext() waits for a message; one at a time.
  virtual bool TakeDirectly(const grpc::ByteBuffer& message);
  // Gives true if it has put the message to send next into `message`.
  // Threads: one of gRPC, for SendAndContinue(); one at a time.
  virtual bool ContinueSending(grpc::ByteBuffer* message);

  virtual void OnMessage(grpc::ByteBuffer message) = 0;
  // Is called when the client sends no more; it still reads.
  virtual void OnClientEnd() = 0;
  // Is called when the call was cancelled, its deadline has passed, or the
  // client is lost: once, and never after Close().
  virtual void OnBroken() = 0;

 private:
  struct Outgoing {
    grpc::ByteBuffer message;
    std::function<void(bool)> on_sent;
    bool continues;
  };

  // How long after an end gRPC may take to report that it cancels the call.
  static constexpr std::chrono::milliseconds kEndDelay{10};

  void Enqueue(Outgoing outgoing);
  void TakeRead(bool ok, bool cancelled);
  void TakeSent(bool ok);
  void AwaitCancel();
  void Pump();
  void Write();
  void Break();
  void FinishIfIdle();

  Loop& loop_;
  const grpc::CallbackServerContext& context_;  // Until OnDone().
  const OnDoneFunction on_done_;
  // The client's connection; null where nobody counts its calls.
  const std::shared_ptr<ControlConnection> connection_;
  Carries carries_ = Carries::kNothing;

  grpc::ByteBuffer incoming_;  // gRPC writes it while a read is in flight.
  bool read_in_flight_ = false;
  bool end_seen_ = false;
  std::optional<Timer> end_delay_;  // From end_seen_ on.
  bool used_ = false;
  // While write_in_flight_ the first one is on its way, and gRPC has its
  // message and those with which it continues.
  std::list<Outgoing> outgoing_;
  bool write_in_flight_ = false;
  grpc::ByteBuffer writing_;  // gRPC reads it while a write is in flight.
  bool continues_ = false;    // Of that write; set before it.
  // Who reports the end of a write that continues: gRPC's thread and the loop
  // meet here.
  enum class End { kNotAwaited, kReached, kAwaited };
  std::atomic<End> write_end_ = End::kAwaited;
  bool broken_ = false;
  std::optional<absl::Status> failure_;  // Which it finishes with then.
  std::optional<absl::Status> status_;   // Once it is to finish.
  bool finished_ = false;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_BIDI_CALL_H_
