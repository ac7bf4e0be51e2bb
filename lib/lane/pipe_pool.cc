#include "lib/lane/pipe_pool.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "lib/net/descriptor_part.h"

namespace portreeve {
namespace {

constexpr size_t kMostIdle = 8;

}  // namespace

Pipe::~Pipe() { DescriptorPart::OfPipes().GiveBack(1); }

std::unique_ptr<Pipe> PipePool::Take() {
  if (!idle_.empty()) {
    std::unique_ptr<Pipe> pipe = std::move(idle_.back());
    idle_.pop_back();
    return pipe;
  }
  if (!DescriptorPart::OfPipes().Take()) return nullptr;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    DescriptorPart::OfPipes().GiveBack(1);
    return nullptr;
  }
  return std::make_unique<Pipe>(ends[0], ends[1]);
}

void PipePool::GiveBack(std::unique_ptr<Pipe> pipe) {
  if (idle_.size() < kMostIdle) idle_.push_back(std::move(pipe));
}

}  // namespace portreeve
