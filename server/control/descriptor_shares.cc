#include "server/control/descriptor_shares.h"

#include <algorithm>
#include <limits>

#include "lib/net/descriptor_part.h"

namespace portreeve::server {

int64_t DescriptorShares::Reserve(int64_t limit, int num_loops) {
  return kOfTheDaemon + int64_t{kOfLoop} * num_loops +
         DescriptorPart::DescriptorsFor(limit);
}

DescriptorShares DescriptorShares::Of(int64_t limit,
                                      int max_control_connections,
                                      int num_loops, int max_http_connections) {
  constexpr int64_t kMost = std::numeric_limits<int>::max();
  limit = std::min(limit, kMost);
  const int64_t control = std::clamp<int64_t>(limit / 8 / kOfControlConnection,
                                              1, max_control_connections);
  DescriptorShares shares;
  shares.control_connections = static_cast<int>(control);
  const bool has_http = max_http_connections > 0;
  const int64_t http =
      has_http ? std::clamp<int64_t>(limit / 8, 1, max_http_connections) : 0;
  shares.http_connections = static_cast<int>(http);
  const int64_t reserve = Reserve(limit, num_loops + (has_http ? 1 : 0));
  const int64_t for_clients = std::min(limit / 10 * 9, limit - reserve);
  shares.connections = static_cast<int>(std::max<int64_t>(
      for_clients - control * kOfControlConnection - http, 1));
  shares.listeners =
      static_cast<int>(std::max<int64_t>(limit / 10 - reserve, 0));
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
