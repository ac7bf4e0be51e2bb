#include "tests/testing/refused_memory.h"

#include <execinfo.h>
#include <link.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace {

// How many times memory is given before it is refused; -1: always given.  And
// how many times it is refused then.
// Of the thread that asked for it: those of others get what they want.
thread_local int num_given = -1;
thread_local int num_refusals = 0;
thread_local bool was_refused = false;

// Whether those threads are refused that are not `favoured`, and how many times
// they were.
std::atomic<bool> refuses_others = false;
std::atomic<int> num_refused_to_others = 0;
thread_local bool favoured = false;

// Where the code of a library lies.
struct Range {
  uintptr_t begin = 0;
  uintptr_t end = 0;
};
// Without memory: it is asked for in the midst of operator new.
struct Ranges {
  Range ranges[16];
  int size = 0;
};

// Those of gRPC and of protobuf, whose code cannot go on then: what it has half
// done it takes for done.  What protobuf generates is in //proto.
int AddIfOfOthers(dl_phdr_info* info, size_t, void* ranges) {
  auto& found = *static_cast<Ranges*>(ranges);
  bool is_one = false;
  for (const char* name : {"libproto", "libgrpc"}) {
    is_one = is_one || strstr(info->dlpi_name, name) != nullptr;
  }
  if (!is_one) return 0;
  for (int i = 0; i < info->dlpi_phnum && found.size < 16; ++i) {
    const auto& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD || (header.p_flags & PF_X) == 0) continue;
    const uintptr_t begin = info->dlpi_addr + header.p_vaddr;
    found.ranges[found.size++] = {begin, begin + header.p_memsz};
  }
  return 0;
}

bool IsAskedByOthers() {
  static const Ranges others = [] {
    Ranges ranges;
    (void)dl_iterate_phdr(&AddIfOfOthers, &ranges);
    return ranges;
  }();
  if (others.size == 0) return false;
  void* frames[64];
  const int count = backtrace(frames, 64);
  for (int i = 0; i < count; ++i) {
    const auto at = reinterpret_cast<uintptr_t>(frames[i]);
    for (int j = 0; j < others.size; ++j) {
      if (others.ranges[j].begin <= at && at < others.ranges[j].end) {
        return true;
      }
    }
  }
  return false;
}

bool IsRefused() {
  if (refuses_others && !favoured && !IsAskedByOthers()) {
    ++num_refused_to_others;
    return true;
  }
  if (num_given < 0) return false;
  if (num_given > 0) {
    --num_given;
    return false;
  }
  if (IsAskedByOthers()) return false;
  was_refused = true;
  if (--num_refusals == 0) num_given = -1;
  return true;
}

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

void RefuseMemoryAfter(int times, int refusals) {
  num_given = times;
  num_refusals = refusals;
  was_refused = false;
}

void RefuseMemoryToOthers(bool refused) {
  favoured = true;
  num_refused_to_others = 0;
  refuses_others = refused;
}

int NumRefusedToOthers() { return num_refused_to_others; }

GivenMemory::GivenMemory() : before_(std::exchange(num_given, -1)) {}

GivenMemory::~GivenMemory() { num_given = before_; }

bool GiveMemoryAgain() {
  num_given = -1;
  return was_refused;
}

}  // namespace portreeve::testing
