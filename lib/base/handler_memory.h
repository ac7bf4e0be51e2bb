// HandlerMemory: memory for a handler of Asio that can never be refused.
#ifndef PORTREEVE_LIB_BASE_HANDLER_MEMORY_H_
#define PORTREEVE_LIB_BASE_HANDLER_MEMORY_H_

#include <cstddef>
#include <new>

#include "lib/base/check.h"

namespace portreeve {

// Holds what Asio keeps for one operation that is waited for again and again: a
// loop that had no memory for it once would never wait for it again.  One
// operation has it at a time.
// Threads: one.  Lifetime: it must outlive the operation.
class HandlerMemory {
 public:
  HandlerMemory() = default;
  HandlerMemory(const HandlerMemory&) = delete;
  HandlerMemory& operator=(const HandlerMemory&) = delete;

  // Goes to asio::bind_allocator().
  template <typename T = void>
  class Allocator {
   public:
    using value_type = T;

    explicit Allocator(HandlerMemory& memory) : memory_(&memory) {}
    template <typename U>
    Allocator(const Allocator<U>& other)  // NOLINT: as the standard wants it.
        : memory_(other.memory_) {}

    T* allocate(std::size_t count) {
      static_assert(alignof(T) <= alignof(std::max_align_t));
      PORTREEVE_CHECK(!memory_->is_used_);
      PORTREEVE_CHECK(count * sizeof(T) <= sizeof memory_->bytes_);
      memory_->is_used_ = true;
      return reinterpret_cast<T*>(memory_->bytes_);
    }
    void deallocate(T*, std::size_t) { memory_->is_used_ = false; }

    template <typename U>
    friend bool operator==(const Allocator& a, const Allocator<U>& b) {
      return a.memory_ == b.memory_;
    }

   private:
    template <typename U>
    friend class Allocator;
    HandlerMemory* memory_;
  };
  Allocator<> allocator() { return Allocator<>(*this); }
  // Whether an operation has the memory.
  bool is_used() const { return is_used_; }

 private:
  // This is more than any operation of Asio's takes whose function holds a
  // pointer.
  alignas(std::max_align_t) std::byte bytes_[256];
  bool is_used_ = false;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_HANDLER_MEMORY_H_
