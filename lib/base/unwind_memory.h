// UnwindMemory: what Asio needs to take coroutines apart where there is no
// memory.
#ifndef PORTREEVE_LIB_BASE_UNWIND_MEMORY_H_
#define PORTREEVE_LIB_BASE_UNWIND_MEMORY_H_

#include <boost/asio/detail/bind_handler.hpp>
#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace portreeve::internal {

// A coroutine that finds no memory where it is to wait is destroyed by Asio,
// which posts that from a destructor: if there is no memory for the post
// either, that ends the process.  So each coroutine has a block for it from its
// beginning on.  One for each loop: OfLoop() finds or makes it.
//
// Threads: loop thread only.
class UnwindMemory {
 public:
  // More than a posted function takes that holds a pointer.
  static constexpr std::size_t kBlockBytes = 96;

  UnwindMemory() = default;
  UnwindMemory(const UnwindMemory&) = delete;
  UnwindMemory& operator=(const UnwindMemory&) = delete;
  ~UnwindMemory() {
    while (Block* const block = Pop()) ::operator delete(block);
  }

  // One more coroutine begins, or ends.  To begin may throw std::bad_alloc, and
  // then has no effect.
  void Reserve() {
    if (num_blocks_ == num_coroutines_) {
      Push(::operator new(kBlockBytes));
      ++num_blocks_;
    }
    ++num_coroutines_;
  }
  void GiveBack() {
    --num_coroutines_;
    if (num_blocks_ - num_coroutines_ <= kMostSpare) return;
    if (Block* const block = Pop()) {
      ::operator delete(block);
      --num_blocks_;
    }
  }

  // Gives a block, or null where all are in use.
  void* Take() { return Pop(); }
  void Return(void* block) { Push(block); }

  // Goes to Asio.
  template <typename T = void>
  class Allocator {
   public:
    using value_type = T;

    explicit Allocator(UnwindMemory& memory) : memory_(&memory) {}
    template <typename U>
    Allocator(const Allocator<U>& other)  // NOLINT: as the standard wants it.
        : memory_(other.memory_) {}

    T* allocate(std::size_t count) {
      static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
      void* const block =
          count * sizeof(T) <= kBlockBytes ? memory_->Take() : nullptr;
      if (block == nullptr) throw std::bad_alloc();
      return static_cast<T*>(block);
    }
    void deallocate(T* block, std::size_t) { memory_->Return(block); }

    template <typename U>
    friend bool operator==(const Allocator& a, const Allocator<U>& b) {
      return a.memory_ == b.memory_;
    }

   private:
    template <typename U>
    friend class Allocator;
    UnwindMemory* memory_;
  };

 private:
  struct Block {
    Block* next;
  };

  // Those are kept for the coroutines to come.
  static constexpr int kMostSpare = 64;

  void Push(void* block) { free_ = new (block) Block{free_}; }
  Block* Pop() {
    Block* const block = free_;
    if (block != nullptr) free_ = block->next;
    return block;
  }

  Block* free_ = nullptr;
  int num_blocks_ = 0;
  int num_coroutines_ = 0;
};

// What an executor is given is wrapped, by what claims that it can be copied.
template <typename F>
struct Posted {
  using type = F;
};
template <typename F>
struct Posted<boost::asio::detail::binder0<F>> {
  using type = F;
};

// Whether F may be what Asio posts to take a coroutine apart: its type has no
// name, but it holds a coroutine and nothing else.
template <typename F>
inline constexpr bool kMayUnwind =
    !std::is_copy_constructible_v<typename Posted<std::decay_t<F>>::type> &&
    sizeof(typename Posted<std::decay_t<F>>::type) == sizeof(void*);

}  // namespace portreeve::internal

#endif  // PORTREEVE_LIB_BASE_UNWIND_MEMORY_H_
