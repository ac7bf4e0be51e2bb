#include "lib/lane/pipe_pool.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "lib/net/descriptor_part.h"

namespace portreeve {
namespace {

constexpr size_t kMostIdle = 8;

}  // namespace

Pipe::Part::~Part() {
  if (taken) DescriptorPart::OfPipes().GiveBack(1);
}

std::unique_ptr<Pipe> Pipe::Open() {
  auto pipe = std::make_unique<Pipe>();
  pipe->part_.taken = DescriptorPart::OfPipes().Take();
  int ends[2];
  if (!pipe->part_.taken || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    return nullptr;
  }
  pipe->read_ = Descriptor(ends[0]);
  pipe->write_ = Descriptor(ends[1]);
  return pipe;
}

std::unique_ptr<Pipe> Pipe::Adopt(Descriptor read, Descriptor write) {
  auto pipe = std::make_unique<Pipe>();
  DescriptorPart::OfPipes().TakeAnyway();
  pipe->part_.taken = true;
  pipe->read_ = std::move(read);
  pipe->write_ = std::move(write);
  return pipe;
}

// Reserves, so that to give a pipe back needs no memory.
PipePool::PipePool() { idle_.reserve(kMostIdle); }

std::unique_ptr<Pipe> PipePool::Take() {
  if (!idle_.empty()) {
    std::unique_ptr<Pipe> pipe = std::move(idle_.back());
    idle_.pop_back();
    return pipe;
  }
  return Pipe::Open();
}

void PipePool::GiveBack(std::unique_ptr<Pipe> pipe) {
  if (idle_.size() < kMostIdle) idle_.push_back(std::move(pipe));
}

}  // namespace portreeve
