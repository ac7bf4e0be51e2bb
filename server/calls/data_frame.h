// The `data` frames of streams that are sockets, as they lie in gRPC's memory:
// bulk is neither parsed nor built by protobuf, which would copy it.
#ifndef PORTREEVE_SERVER_CALLS_DATA_FRAME_H_
#define PORTREEVE_SERVER_CALLS_DATA_FRAME_H_

#include <grpcpp/support/byte_buffer.h>

#include <optional>

#include "server/remote/client_stream.h"
#include "server/remote/data_block.h"

namespace portreeve::server {

// Gives the bytes of `message` if it is a v1::ClientFrame that has one `data`
// field and nothing else.  It gives nullopt for everything else, be it a frame
// or not, and for what it cannot read itself: protobuf decides about that.
std::optional<ReceivedData> ParseData(const grpc::ByteBuffer& message);

// Gives `block` as a v1::ServerFrame, without a copy.
grpc::ByteBuffer EncodeData(DataBlock block);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_DATA_FRAME_H_
