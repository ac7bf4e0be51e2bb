// RefusedStream: a stream that ends with an error before it begins.
#ifndef PORTREEVE_SERVER_CALLS_REFUSED_STREAM_H_
#define PORTREEVE_SERVER_CALLS_REFUSED_STREAM_H_

#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"
#include "server/calls/grpc_status.h"
#include "server/control/control_calls.h"

namespace portreeve::server {

// Reads and writes nothing.  `Reactor` is that of the method.  gRPC owns it.
template <typename Reactor>
class RefusedStream final : public Reactor {
 public:
  RefusedStream(const grpc::CallbackServerContext& context,
                const absl::Status& status) {
    NoteAnswer(context);
    this->Finish(ToGrpc(status));
  }

  void OnDone() override { delete this; }
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_REFUSED_STREAM_H_
