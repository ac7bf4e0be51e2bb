// UpstreamCounts: how often a forward handler has connected to its upstream.
#ifndef PORTREEVE_SERVER_REGISTRY_UPSTREAM_COUNTS_H_
#define PORTREEVE_SERVER_REGISTRY_UPSTREAM_COUNTS_H_

#include <cstdint>

namespace portreeve::server {

// Each connection counts once, when it is known how connecting has ended; one
// that was over before does not count.
struct UpstreamCounts {
  int64_t connects = 0;  // Those that failed included.
  int64_t errors = 0;    // Those that failed.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_UPSTREAM_COUNTS_H_
