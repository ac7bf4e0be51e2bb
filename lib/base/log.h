// Log: where the library's few lines of log go.
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_BASE_LOG_H_
#define PORTREEVE_LIB_BASE_LOG_H_

#include <functional>
#include <string_view>

namespace portreeve {

// Writes `line`, which has no line feed at its end.  Threads: any.
void Log(std::string_view line);

// Replaces what Log() does; null restores the default, a line on stderr that
// begins with "portreeve: ", which waits for whoever reads stderr.  `sink` is
// called from any thread, one call at a time, and must not log, nor wait: the
// threads of loops log.
void SetLogSink(std::function<void(std::string_view)> sink);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_LOG_H_
