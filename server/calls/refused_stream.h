// RefusedStream: a stream that ends with an error before it begins.
#ifndef PORTREEVE_SERVER_CALLS_REFUSED_STREAM_H_
#define PORTREEVE_SERVER_CALLS_REFUSED_STREAM_H_

#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"
#include "server/calls/grpc_status.h"

namespace portreeve::server {

// Reads and writes nothing.  gRPC owns it.
class RefusedStream final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit RefusedStream(const absl::Status& status) { Finish(ToGrpc(status)); }

  void OnDone() override { delete this; }
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_REFUSED_STREAM_H_
