// Guarded: calls a function that may throw, for a caller that has to go on all
// the same.
#ifndef PORTREEVE_LIB_BASE_GUARDED_H_
#define PORTREEVE_LIB_BASE_GUARDED_H_

#include <exception>

#include "lib/base/monitor.h"

namespace portreeve {

// Calls `f`.  What it throws goes to `monitor`.
template <typename F>
void Guarded(const Monitor& monitor, F&& f) {
  try {
    f();
  } catch (...) {
    monitor.Send(std::current_exception());
  }
}

// Does the same with the top-level monitor.  Where nothing is thrown it costs
// nothing.
template <typename F>
void Guarded(F&& f) {
  try {
    f();
  } catch (...) {
    Monitor::TopLevel().Send(std::current_exception());
  }
}

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_GUARDED_H_
