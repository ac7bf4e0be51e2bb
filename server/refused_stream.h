// RefusedStream: a stream that ends with an error before it begins.
#ifndef PORTREEVE_SERVER_REFUSED_STREAM_H_
#define PORTREEVE_SERVER_REFUSED_STREAM_H_

#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"
#include "server/grpc_status.h"

namespace portreeve::server {

// Reads and writes nothing.  gRPC owns it.
template <typename Request, typename Response>
class RefusedStream final : public grpc::ServerBidiReactor<Request, Response> {
 public:
  explicit RefusedStream(const absl::Status& status) {
    this->Finish(ToGrpc(status));
  }

  void OnDone() override { delete this; }
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REFUSED_STREAM_H_
