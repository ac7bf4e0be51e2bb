// A call of this library that reads a stream of the daemon's.  For the .cc
// files of this library only.
#ifndef PORTREEVE_CLIENT_BLOCKING_WATCH_H_
#define PORTREEVE_CLIENT_BLOCKING_WATCH_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/blocking_call.h"
#include "client/call_options.h"

namespace portreeve::client {

// Threads and lifetime: see BlockingCall.
template <typename Response>
class BlockingWatch final
    : public BlockingCall<grpc::ClientReadReactor<Response>> {
 public:
  // `start` passes a context and a reactor to the method of a stub.
  template <typename StartMethod>
  BlockingWatch(const CallOptions& options, StartMethod start) {
    this->Start(options, start);
  }

  ~BlockingWatch() override {
    this->Cancel();
    this->Finish().IgnoreError();
  }

  // Waits for the initial metadata.
  absl::Status AwaitStart() {
    if (this->AwaitMetadata()) return absl::OkStatus();
    const absl::Status status = this->Finish();
    if (!status.ok()) return status;
    return absl::InternalError("the daemon ended the watch before its start");
  }

  // Waits for the next message; gives null once the daemon has ended the stream
  // with OK.  The message is valid until the next call.
  absl::StatusOr<Response*> Next() {
    if (this->Read(response_)) return &response_;
    absl::Status status = this->Finish();
    if (!status.ok()) return status;
    return nullptr;
  }

 private:
  Response response_;  // gRPC's while a read is pending.
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_BLOCKING_WATCH_H_
