// A call that streams both ways.  For the .cc files of this library only.
#ifndef PORTREEVE_CLIENT_BIDI_CALL_H_
#define PORTREEVE_CLIENT_BIDI_CALL_H_

#include <grpcpp/support/client_callback.h>

#include "absl/synchronization/mutex.h"
#include "client/blocking_call.h"
#include "client/call_options.h"

namespace portreeve::client {

// Threads: those of its base; any thread may write, and writes come one after
// the other.
template <typename Request, typename Response>
class BidiCall final
    : public BlockingCall<grpc::ClientBidiReactor<Request, Response>> {
 public:
  // Starts the call.  `start` passes the context and this reactor to the method
  // of a stub.
  template <typename Start>
  BidiCall(const CallOptions& options, Start start) {
    this->Start(options, start);
  }

  // Cancels the call.  No other method may be under way.
  ~BidiCall() override {
    this->Cancel();
    this->Finish().IgnoreError();
  }

  // Waits until gRPC has taken `request`, which it does not while the other end
  // takes nothing; false once the call has ended.
  bool Write(const Request& request) {
    absl::MutexLock turn(&write_turn_);
    return this->Do(this->kWrite, [&] { this->StartWrite(&request); });
  }

  // Says that nothing more is written, which nothing is from now on, and waits
  // for nothing.
  void HalfClose() {
    absl::MutexLock turn(&write_turn_);
    this->Begin(this->kHalfClose, [&] { this->StartWritesDone(); });
  }

  // Once the call has finished: whether HalfClose was called and went out.
  bool has_half_closed() const { return this->WasOk(this->kHalfClose); }

  void OnWriteDone(bool ok) override { this->Note(this->kWrite, ok); }
  void OnWritesDoneDone(bool ok) override { this->Note(this->kHalfClose, ok); }

 private:
  absl::Mutex write_turn_;  // One write at a time.
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_BIDI_CALL_H_
