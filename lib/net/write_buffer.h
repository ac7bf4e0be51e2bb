// WriteBuffer: the bytes that wait in a Writer, and how old they are.
#ifndef PORTREEVE_LIB_NET_WRITE_BUFFER_H_
#define PORTREEVE_LIB_NET_WRITE_BUFFER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "lib/base/time_source.h"
#include "lib/net/frozen_writer.h"

namespace portreeve {

// All that was written to a Writer, of which the kernel has taken the first
// part; the rest is here.  While there is none it holds no memory.
// Threads: those of its owner.
class WriteBuffer {
 public:
  // Bytes that are written this close to one another share the time of the
  // first, so that the oldest may be up to so much younger than it seems.
  static constexpr std::chrono::milliseconds kGranularity{20};

  // When it gets its first byte it takes memory for `least` of them.
  explicit WriteBuffer(size_t least) : least_(least) {}

  size_t size() const { return bytes_.size() - begin_; }
  std::string_view bytes() const {
    return std::string_view(bytes_).substr(begin_);
  }
  // Give how many bytes were written since the beginning, and how many of them
  // the kernel has taken.
  int64_t written() const { return written_; }
  int64_t taken() const { return written_ - static_cast<int64_t>(size()); }

  void Append(std::string_view data);
  // Appends `pieces` but for the first `size` bytes, which the kernel has taken
  // from whoever wrote them.  Nothing may wait here where that is not 0.
  void AppendRest(std::span<const std::string_view> pieces, size_t size);

  // The kernel has taken `size` bytes more.  Their memory and their ages are
  // kept until DropTaken().
  void Take(size_t size) { begin_ += size; }
  void DropTaken();

  // All that was written since the last call was so at `now`.
  void Stamp(TimePoint now);
  // Gives when the oldest byte was written; nothing where none is stamped.
  std::optional<TimePoint> oldest() const;

  // Adds its part to `frozen`; nothing changes by that.
  void Freeze(FrozenWriter& frozen) const;
  // Takes what waits in `frozen`; nothing may have been written before.  Ages
  // count where `now` is given, from which on bytes count that come without.
  void Restore(FrozenWriter frozen, std::optional<TimePoint> now);

 private:
  // Bytes up to `end` were written at `time` or, for some, up to kGranularity
  // later.
  struct AgeStamp {
    int64_t end;
    TimePoint time;
  };

  const size_t least_;
  std::string bytes_;  // The kernel has not taken [begin_, end) yet.
  size_t begin_ = 0;
  int64_t written_ = 0;
  std::deque<AgeStamp> stamps_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_WRITE_BUFFER_H_
