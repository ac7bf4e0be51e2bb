// PipePool: pipes for splice(2), which connections have only while bytes are in
// them.
#ifndef PORTREEVE_LIB_LANE_PIPE_POOL_H_
#define PORTREEVE_LIB_LANE_PIPE_POOL_H_

#include <memory>
#include <vector>

#include "lib/base/descriptor.h"

namespace portreeve {

// A pipe.  Its destructor counts it out; bytes in it are lost.
class Pipe {
 public:
  // Gives null if there may be no more pipes, or none can be made.
  static std::unique_ptr<Pipe> Open();
  // Takes a pipe that is there already, with what is in it; it counts as one,
  // also where there may be no more.
  static std::unique_ptr<Pipe> Adopt(Descriptor read, Descriptor write);

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

  Part part_;  // Is given back once the ends are closed.
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
  PipePool();

  // Gives an empty, non-blocking pipe, or null if there may be no more, or none
  // can be made: then bytes have to be copied.
  std::unique_ptr<Pipe> Take();
  // Takes back a pipe, which must be empty.  Never throws.
  void GiveBack(std::unique_ptr<Pipe> pipe);

 private:
  std::vector<std::unique_ptr<Pipe>> idle_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_LANE_PIPE_POOL_H_
