// FirstOf: several coroutines, until one has ended.
#ifndef PORTREEVE_SERVER_REMOTE_FIRST_OF_H_
#define PORTREEVE_SERVER_REMOTE_FIRST_OF_H_

#include "lib/base/asio.h"

namespace portreeve::server {

// Runs all three until one has ended, cancels the others, and returns when all
// have ended; throws what the first one threw.  Unlike Asio's ||, it does so
// where one is destroyed for want of memory, too, which is then what it throws.
// Cancellation: terminal; cancels all.
Task<> FirstOf(Task<> a, Task<> b, Task<> c);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REMOTE_FIRST_OF_H_
