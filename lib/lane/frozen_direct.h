// FrozenDirect: what a direct connection is at a moment, for another process to
// go on with (DirectConnection::FreezeDirect() and Resume()).
#ifndef PORTREEVE_LIB_LANE_FROZEN_DIRECT_H_
#define PORTREEVE_LIB_LANE_FROZEN_DIRECT_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "lib/base/time_source.h"
#include "lib/net/address.h"
#include "lib/net/buffer_age_limit.h"
#include "lib/net/close_reason.h"

namespace portreeve {

// Its descriptor is no part of it.  Times are those of the machine's steady
// clock, which all its processes have.
struct FrozenDirect {
  int64_t id = 0;
  AnyAddress peer;
  AnyAddress local;
  BufferAgeLimit buffer_age_limit;
  bool sets_no_delay = false;
  int64_t bytes_received = 0;
  int64_t bytes_sent = 0;
  size_t bytes_to_write = 0;
  CloseReason reason = CloseReason::kNone;
  bool watches_writable = false;
  // By when what is not flushed is lost; nothing: it is not closing.
  std::optional<TimePoint> force_close_at;

  friend bool operator==(const FrozenDirect&, const FrozenDirect&) = default;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_LANE_FROZEN_DIRECT_H_
