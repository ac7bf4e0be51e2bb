// FrozenWriter: what a Writer leaves to one of another process.
#ifndef PORTREEVE_LIB_NET_FROZEN_WRITER_H_
#define PORTREEVE_LIB_NET_FROZEN_WRITER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/time_source.h"

namespace portreeve {

// What a Writer is at a moment, for another process to go on with.
struct FrozenWriter {
  std::string to_write;  // What the kernel has not taken.
  // When its parts were written, by the machine's steady clock: each goes from
  // the end of the one before to `end`; none where the age does not count.
  struct Age {
    int64_t end = 0;
    TimePoint written;

    friend bool operator==(const Age&, const Age&) = default;
  };
  std::vector<Age> ages;
  bool half_closed = false;  // HalfClose() was called.

  friend bool operator==(const FrozenWriter&, const FrozenWriter&) = default;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_FROZEN_WRITER_H_
