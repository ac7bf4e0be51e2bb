// How gRPC sends a page of a list.
#ifndef PORTREEVE_SERVER_CALLS_PAGE_RESPONSE_H_
#define PORTREEVE_SERVER_CALLS_PAGE_RESPONSE_H_

#include <grpcpp/grpcpp.h>

#include "server/registry/encoded_page.h"

namespace grpc {

template <typename Message>
class SerializationTraits<portreeve::server::EncodedPage<Message>> {
 public:
  static Status Serialize(const portreeve::server::EncodedPage<Message>& page,
                          ByteBuffer* buffer, bool* own_buffer) {
    const Slice bytes(page.bytes);
    *buffer = ByteBuffer(&bytes, 1);
    *own_buffer = true;
    return Status::OK;
  }
};

}  // namespace grpc

#endif  // PORTREEVE_SERVER_CALLS_PAGE_RESPONSE_H_
