#include "client/watch_position.h"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace portreeve::client {

void WatchPosition::Take(const v1::Event& event) {
  request_.set_instance_id(event.instance_id());
  // All of a snapshot has one revision: a part of it is no place to go on from.
  if (request_.initial_snapshot() && !event.has_snapshot_done()) return;
  request_.set_initial_snapshot(false);
  // There is none behind the last.
  constexpr int64_t kLast = std::numeric_limits<int64_t>::max();
  request_.set_start_revision(std::min(event.revision(), kLast - 1) + 1);
}

void WatchPosition::StartAnew() {
  request_.clear_instance_id();
  request_.set_initial_snapshot(first_.initial_snapshot());
  request_.set_start_revision(first_.initial_snapshot() ? 0 : 1);
}

}  // namespace portreeve::client
