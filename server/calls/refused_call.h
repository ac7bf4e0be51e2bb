// RefusedCall: a stream that ends with an error before it begins.
#ifndef PORTREEVE_SERVER_CALLS_REFUSED_CALL_H_
#define PORTREEVE_SERVER_CALLS_REFUSED_CALL_H_

#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"
#include "server/calls/grpc_status.h"
#include "server/control/control_calls.h"

namespace portreeve::server {

// Reads and writes nothing.  `Reactor` is that of the method.  gRPC owns it.
template <typename Reactor>
class RefusedCall final : public Reactor {
 public:
  RefusedCall(const grpc::CallbackServerContext& context,
              const absl::Status& status) {
    const grpc::Status answer = ToGrpc(status);
    NoteAnswer(context, answer.error_code());
    this->Finish(answer);
  }

  void OnDone() override { delete this; }
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_REFUSED_CALL_H_
