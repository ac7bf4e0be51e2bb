// Awaited: an answer that has to be given later.
#ifndef PORTREEVE_SERVER_REGISTRY_AWAITED_H_
#define PORTREEVE_SERVER_REGISTRY_AWAITED_H_

#include <functional>

#include "absl/status/statusor.h"
#include "lib/base/deferred.h"

namespace portreeve::server {

template <typename Message>
struct Awaited {
  Deferred<> until;  // When.
  // What, then.  Keeps what it needs.
  std::function<absl::StatusOr<Message>()> describe;
};

// Takes the answer to a change, once it is known: in the call that was given
// this, or in a later step of the loop.
template <typename T>
using Then = std::function<void(absl::StatusOr<T>)>;

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_AWAITED_H_
