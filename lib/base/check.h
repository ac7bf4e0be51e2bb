// CHECK and DCHECK: Abseil 20220623 has none.
#ifndef PORTREEVE_LIB_BASE_CHECK_H_
#define PORTREEVE_LIB_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

namespace portreeve::internal {

[[noreturn]] inline void CheckFailed(const char* file, int line,
                                     const char* condition) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace portreeve::internal

// Ends the process with the condition's text when it does not hold.  It is for
// bugs of the caller only, never for input.
#define PORTREEVE_CHECK(condition) \
  ((condition)                     \
       ? static_cast<void>(0)      \
       : ::portreeve::internal::CheckFailed(__FILE__, __LINE__, #condition))

// Does the same in debug builds.  In others the condition is compiled, but not
// evaluated.
#ifdef NDEBUG
#define PORTREEVE_DCHECK(condition) \
  (true ? static_cast<void>(0) : static_cast<void>(condition))
#else
#define PORTREEVE_DCHECK(condition) PORTREEVE_CHECK(condition)
#endif

#endif  // PORTREEVE_LIB_BASE_CHECK_H_
