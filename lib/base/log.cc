#include "lib/base/log.h"

#include <cstdio>
#include <mutex>
#include <utility>

namespace portreeve {
namespace {

struct SinkHolder {
  std::mutex mutex;
  std::function<void(std::string_view)> sink;  // Guarded by mutex.
};

SinkHolder& GetSinkHolder() {
  static auto* const holder = new SinkHolder;  // Outlives every loop.
  return *holder;
}

}  // namespace

void Log(std::string_view line) try {
  SinkHolder& holder = GetSinkHolder();
  std::lock_guard<std::mutex> lock(holder.mutex);
  if (holder.sink) {
    holder.sink(line);
  } else {
    std::fprintf(stderr, "portreeve: %.*s\n", static_cast<int>(line.size()),
                 line.data());
  }
} catch (...) {
  // A line for which the sink has no memory is lost, not who wanted to tell it.
}

void SetLogSink(std::function<void(std::string_view)> sink) {
  SinkHolder& holder = GetSinkHolder();
  std::lock_guard<std::mutex> lock(holder.mutex);
  holder.sink = std::move(sink);
}

}  // namespace portreeve
