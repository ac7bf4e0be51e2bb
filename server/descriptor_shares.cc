#include "server/descriptor_shares.h"

#include <algorithm>
#include <limits>

namespace portreeve::server {
namespace {

// Of gRPC, the loops, the logs, and whatever is open for a moment.
constexpr int64_t kOfTheDaemon = 64;
// As much of that as there is at the least, however few there are in all.
constexpr int64_t kLeastOfTheDaemon = 48;

}  // namespace

DescriptorShares DescriptorShares::Of(int64_t limit,
                                      int max_control_connections) {
  constexpr int64_t kMost = std::numeric_limits<int>::max();
  limit = std::min(limit, kMost);
  const int64_t control = std::clamp<int64_t>(limit / 8 / kOfControlConnection,
                                              1, max_control_connections);
  DescriptorShares shares;
  shares.control_connections = static_cast<int>(control);
  const int64_t for_clients =
      std::min(limit / 10 * 9, limit - kLeastOfTheDaemon);
  shares.connections = static_cast<int>(
      std::max<int64_t>(for_clients - control * kOfControlConnection, 1));
  shares.listeners =
      static_cast<int>(std::max<int64_t>(limit / 10 - kOfTheDaemon, 0));
  return shares;
}

bool ListenerDescriptors::Take() {
  if (free_ > 0) {
    --free_;
    return true;
  }
  if (!beyond_.Has(1)) return false;
  beyond_.Take(1);
  ++taken_beyond_;
  return true;
}

void ListenerDescriptors::GiveBack() {
  if (taken_beyond_ == 0) {
    ++free_;
    return;
  }
  --taken_beyond_;
  beyond_.GiveBack(1);
}

}  // namespace portreeve::server
