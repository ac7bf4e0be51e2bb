#include "tests/testing/refused_memory.h"

#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

namespace {

// How many times memory is given before it is refused, once.  -1: always given.
// Of the thread that asked for it: those of others get what they want.
thread_local int num_given = -1;

bool IsRefused() { return num_given >= 0 && num_given-- == 0; }

}  // namespace

void* operator new(std::size_t size) {
  if (IsRefused()) throw std::bad_alloc();
  if (void* const memory = std::malloc(size)) return memory;
  std::abort();
}
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t size) {
  if (IsRefused()) return nullptr;
  void* memory = nullptr;
  return posix_memalign(&memory, alignment, size) == 0 ? memory : nullptr;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace portreeve::testing {

void RefuseMemoryAfter(int times) { num_given = times; }

GivenMemory::GivenMemory() : before_(std::exchange(num_given, -1)) {}

GivenMemory::~GivenMemory() { num_given = before_; }

bool GiveMemoryAgain() { return std::exchange(num_given, -1) < 0; }

}  // namespace portreeve::testing
