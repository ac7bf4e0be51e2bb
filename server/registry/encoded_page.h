// EncodedPage: a page of a list, as it is sent.
#ifndef PORTREEVE_SERVER_REGISTRY_ENCODED_PAGE_H_
#define PORTREEVE_SERVER_REGISTRY_ENCODED_PAGE_H_

#include <cstddef>
#include <string>

#include "server/api/backward_writer.h"

namespace portreeve::server {

// `Message` is a v1::ListListenersResponse or a v1::ListConnectionsResponse. As
// a message a page of 1000 would take the loop milliseconds; whoever needs one
// makes it elsewhere.
template <typename Message>
struct EncodedPage {
  std::string bytes;

  // Adds an element of the list, as the field `field`, of which `writer` has
  // the fields and nothing else.
  void Add(int field, BackwardWriter& writer) {
    writer.Message(field, 0);
    bytes.append(writer.bytes().data(), writer.size());
  }

  size_t ByteSizeLong() const { return bytes.size(); }
  Message message() const {
    Message message;
    (void)message.ParseFromString(bytes);  // It was made so.
    return message;
  }
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_ENCODED_PAGE_H_
