// BlockAllocator: memory for an operation of Asio that was taken before.
#ifndef PORTREEVE_LIB_BASE_BLOCK_ALLOCATOR_H_
#define PORTREEVE_LIB_BASE_BLOCK_ALLOCATOR_H_

#include <cstddef>
#include <new>

#include "lib/base/check.h"

namespace portreeve::internal {

// Gives Asio the memory of one operation: a block of operator new's, which it
// deletes.
template <typename T = void>
class BlockAllocator {
 public:
  using value_type = T;

  BlockAllocator(void* block, std::size_t bytes)
      : block_(block), bytes_(bytes) {}
  template <typename U>
  BlockAllocator(const BlockAllocator<U>& other)  // NOLINT: as it is to be.
      : block_(other.block_), bytes_(other.bytes_) {}

  T* allocate(std::size_t count) {
    static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
    PORTREEVE_CHECK(count * sizeof(T) <= bytes_);
    return static_cast<T*>(block_);
  }
  void deallocate(T* block, std::size_t) { ::operator delete(block); }

  template <typename U>
  friend bool operator==(const BlockAllocator& a, const BlockAllocator<U>& b) {
    return a.block_ == b.block_;
  }

 private:
  template <typename U>
  friend class BlockAllocator;
  void* block_;
  std::size_t bytes_;
};

}  // namespace portreeve::internal

#endif  // PORTREEVE_LIB_BASE_BLOCK_ALLOCATOR_H_
