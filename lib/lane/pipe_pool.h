// PipePool: pipes for splice(2), only while bytes are in them.
#ifndef PORTREEVE_LIB_LANE_PIPE_POOL_H_
#define PORTREEVE_LIB_LANE_PIPE_POOL_H_

#include <memory>
#include <vector>

#include "lib/base/descriptor.h"

namespace portreeve {

// Its end counts it out; bytes in it are lost.
class Pipe {
 public:
  // Null if there may be no more, or none is to be had.
  static std::unique_ptr<Pipe> Open();

  Pipe() = default;
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  const Descriptor& read() const { return read_; }
  const Descriptor& write() const { return write_; }

 private:
  struct Part {
    bool taken = false;
    ~Part();
  };

  Part part_;  // Given back once the ends are closed.
  Descriptor read_;
  Descriptor write_;
};

// The pipes of one loop.  An empty pipe is used again by the next who needs
// one; few are kept idle.  In the whole process there are no more than
// DescriptorPart allows, for what is stalled holds its pipe.
//
// Threads: one.
class PipePool {
 public:
  // An empty, non-blocking pipe; null if there may be no more, or none is to be
  // had: then bytes have to be copied.
  std::unique_ptr<Pipe> Take();
  // Takes back a pipe, which is empty.
  void GiveBack(std::unique_ptr<Pipe> pipe);

 private:
  std::vector<std::unique_ptr<Pipe>> idle_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_LANE_PIPE_POOL_H_
