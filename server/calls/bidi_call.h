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

// What Attach, Dial and Handle have in common.  Messages are raw, for gRPC
// tells a message that it cannot parse and the client's end in the same way.
//
// Threads: every field is touched on the loop only, but for those that gRPC has
// while a read or a write is in flight; the methods that are not gRPC's
// reactions are called there, but for the two that say so; reactions post what
// those two do not deal with.
// Lifetime: the owner keeps it until `on_done`, which is called on the loop
// once gRPC has let go of it.  Close() must be called in the end.
class BidiCall
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public OpenCall {
 public:
  // Ends the call with `status`, after what was given to Send().  Only the
  // first call counts.  Needed for a broken call, too.
  virtual void Close(const absl::Status& status);

  // With SHUTTING_DOWN, if no message has come yet: the others end with what
  // they are for.
  void CloseForShutdown() final;

  void OnReadDone(bool ok) final;
  void OnWriteDone(bool ok) final;
  void OnCancel() final;
  void OnDone() final;

 protected:
  using OnDoneFunction = std::function<void(BidiCall*)>;

  // Any thread.  `loop` outlives it; `context` is the call's.
  BidiCall(Loop& loop, const grpc::CallbackServerContext& context,
           OnDoneFunction on_done);

  // Asks for the next message, unless that was done already: one OnMessage(),
  // OnClientEnd() or OnBroken() follows, unless the call ends before.
  void ReadNext();

  static grpc::ByteBuffer Encode(const google::protobuf::MessageLite& message);

  // Sends `message` after those before it.  `on_sent` gets true when HTTP/2's
  // flow control has taken it over, false when it never will; it must not call
  // the stream.
  void Send(grpc::ByteBuffer message, std::function<void(bool)> on_sent);

  // The same, and after it, one by one, what ContinueSending() gives, until
  // that is nothing.  That all of this was sent is only told once it was asked
  // for by AwaitSent(), so that nobody is woken for nothing.
  void SendAndContinue(grpc::ByteBuffer message,
                       std::function<void(bool)> on_sent);
  void AwaitSent();

  // False if `raw` is not a message of this type.
  static bool Parse(grpc::ByteBuffer raw,
                    google::protobuf::MessageLite& message);

  // Forgets what is not on its way yet.
  void DropUnsent();

  // How a call of Attach or Dial stands to its connection: as it counts among
  // those of its client (server/control/control_connection.h).
  enum class Carries { kNothing, kUnjoined, kConnection, kEnded };
  void SetCarries(Carries carries);

  bool reading() const { return read_in_flight_; }
  bool closed() const { return status_.has_value(); }  // Close() was called.
  bool is_broken() const { return broken_; }
  Loop& loop() const { return loop_; }

  // Whether this has dealt with `message`, so that the next is read and nobody
  // is told.  On a thread of gRPC, while ReadNext() waits for a message; one at
  // a time.
  virtual bool TakeDirectly(const grpc::ByteBuffer& message);
  // Whether there is a `message` to send next.  On a thread of gRPC, for
  // SendAndContinue(); one at a time.
  virtual bool ContinueSending(grpc::ByteBuffer* message);

  virtual void OnMessage(grpc::ByteBuffer message) = 0;
  // The client sends no more; it still reads.
  virtual void OnClientEnd() = 0;
  // The call was cancelled, its deadline has passed, or the client is lost.
  // Once, and never after Close().
  virtual void OnBroken() = 0;

 private:
  struct Outgoing {
    grpc::ByteBuffer message;
    std::function<void(bool)> on_sent;
    bool continues;
  };

  // How long after an end gRPC may take to tell that it cancels the call.
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
  // Of the control plane; null where nobody counts.
  const std::shared_ptr<ControlConnection> connection_;
  Carries carries_ = Carries::kNothing;

  grpc::ByteBuffer incoming_;  // gRPC writes it while a read is in flight.
  bool read_in_flight_ = false;
  bool end_seen_ = false;
  std::optional<Timer> end_delay_;  // From end_seen_ on.
  bool used_ = false;
  // The front one is on its way while write_in_flight_; gRPC has its message
  // then, and those with which it continues.
  std::list<Outgoing> outgoing_;
  bool write_in_flight_ = false;
  grpc::ByteBuffer writing_;  // gRPC reads it while a write is in flight.
  bool continues_ = false;    // Of that write; set before it.
  // Of one that continues: who is to tell its end.  gRPC's thread and the loop
  // meet here.
  enum class End { kNotAwaited, kReached, kAwaited };
  std::atomic<End> write_end_ = End::kAwaited;
  bool broken_ = false;
  std::optional<absl::Status> status_;  // Once it is to finish.
  bool finished_ = false;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_BIDI_CALL_H_
