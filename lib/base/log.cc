#include "lib/base/log.h"

#include <cstdio>
#include <utility>

#include "lib/base/mutex.h"

namespace portreeve {
namespace {

struct SinkHolder {
  Mutex mutex;
  std::function<void(std::string_view)> sink PORTREEVE_GUARDED_BY(mutex);
};

SinkHolder& GetSinkHolder() {
  static auto* const holder = new SinkHolder;  // It outlives every loop.
  return *holder;
}

}  // namespace

void Log(std::string_view line) try {
  SinkHolder& holder = GetSinkHolder();
  const MutexLock lock(holder.mutex);
  if (holder.sink) {
    holder.sink(line);
  } else {
    std::fprintf(stderr, "portreeve: %.*s\n", static_cast<int>(line.size()),
                 line.data());
  }
} catch (...) {
  // A line for which the sink has no memory is lost; whoever logs it goes on.
}

void SetLogSink(std::function<void(std::string_view)> sink) {
  SinkHolder& holder = GetSinkHolder();
  const MutexLock lock(holder.mutex);
  holder.sink = std::move(sink);
}

}  // namespace portreeve
