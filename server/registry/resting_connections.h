// RestingConnections: which connections nothing has come over for a while.
#ifndef PORTREEVE_SERVER_REGISTRY_RESTING_CONNECTIONS_H_
#define PORTREEVE_SERVER_REGISTRY_RESTING_CONNECTIONS_H_

#include <cstdint>
#include <utility>

#include "absl/container/btree_map.h"

namespace portreeve::server {

// It is asked about connections look by look, and remembers the last two.
class RestingConnections {
 public:
  // Begins a look.
  void BeginLook() {
    before_ = std::move(now_);
    now_.clear();
  }

  // Takes a connection that is at rest, which has carried `bytes` in its life;
  // at most once in a look.  Gives whether it was there in the look before,
  // and has carried nothing since.
  bool HasRested(int64_t id, int64_t bytes) {
    now_.emplace(id, bytes);
    const auto found = before_.find(id);
    return found != before_.end() && found->second == bytes;
  }

 private:
  using BytesById = absl::btree_map<int64_t, int64_t>;

  BytesById before_;
  BytesById now_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_RESTING_CONNECTIONS_H_
