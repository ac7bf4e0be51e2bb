// OfLoop: objects of which each loop has one.
#ifndef PORTREEVE_LIB_BASE_LOOP_SERVICE_H_
#define PORTREEVE_LIB_BASE_LOOP_SERVICE_H_

#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>
#include <type_traits>

#include "lib/base/check.h"

namespace portreeve {

namespace asio = boost::asio;

namespace internal {

template <typename T>
class LoopService final : public asio::execution_context::service {
 public:
  inline static asio::execution_context::id id;

  explicit LoopService(asio::io_context& loop) : service(loop) {
    if constexpr (std::is_constructible_v<T, asio::io_context&>) {
      object_.emplace(loop);
    } else {
      object_.emplace();
    }
  }

  T& object() {
    PORTREEVE_CHECK(object_.has_value());  // The loop has ended.
    return *object_;
  }

 private:
  void shutdown() override {
    if constexpr (requires { T::kEndsFirst; }) object_.reset();
  }

  std::optional<T> object_;
};

}  // namespace internal

// Gives the T of `loop`, which is made at the first call, as T(loop) or T(),
// and found by later ones.  It is destroyed with the loop, before the objects
// that T's constructor has got from OfLoop().  Functions that the loop has not
// called by then are destroyed before it, and may still use it; but where T has
// a member kEndsFirst, T is destroyed before them, as an object has to be that
// waits with Asio.
//
// Throws what T's constructor throws, and the next call tries again.
// Threads: any where a T may be made and used on any thread: where several
// threads make one at once, they all get the same.  Else the loop's thread.
template <typename T>
T& OfLoop(asio::io_context& loop) {
  return asio::use_service<internal::LoopService<T>>(loop).object();
}

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_LOOP_SERVICE_H_
