// BufferSizes: how much memory a Reader and a Writer take at a time
// (docs/CONFORMANCE.md, C7 and C8).
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_NET_BUFFER_SIZES_H_
#define PORTREEVE_LIB_NET_BUFFER_SIZES_H_

#include <cstddef>

#include "absl/status/status.h"

namespace portreeve {

// All are in bytes.  Neither is a bound: a buffer grows with what waits in it,
// and takes no memory while it is empty.
struct BufferSizes {
  // How much the Reader asks the kernel for at once, where it does not read to
  // the caller's memory; 1 - kMost.
  size_t reader = size_t{16} * 1024;
  // How much the Writer takes for its buffer, at least, when bytes begin to
  // wait in it; 0 - kMost.  Default: as much as they are.
  size_t writer = 0;

  static constexpr size_t kMost = size_t{1} << 30;
};

// Gives INVALID_FIELD, which names "reader_buffer_size" or
// "writer_buffer_size", where one is out of its range, else OK.
absl::Status Validate(const BufferSizes& sizes);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_BUFFER_SIZES_H_
