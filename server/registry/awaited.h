// Awaited: an answer that has to be given later.
#ifndef PORTREEVE_SERVER_REGISTRY_AWAITED_H_
#define PORTREEVE_SERVER_REGISTRY_AWAITED_H_

#include <functional>

#include "lib/base/deferred.h"

namespace portreeve::server {

template <typename Message>
struct Awaited {
  Deferred<> until;                   // When.
  std::function<Message()> describe;  // What, then.  Keeps what it needs.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_AWAITED_H_
