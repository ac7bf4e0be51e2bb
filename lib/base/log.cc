#include "lib/base/log.h"

#include <atomic>
#include <cstdio>
#include <utility>

#include "lib/base/mutex.h"

namespace portreeve {
namespace {

struct SinkHolder {
  std::atomic<LogLevel> least = LogLevel::kInfo;
  Mutex mutex;
  std::function<void(const LogLine&)> sink PORTREEVE_GUARDED_BY(mutex);
};

SinkHolder& GetSinkHolder() {
  static auto* const holder = new SinkHolder;  // It outlives every loop.
  return *holder;
}

}  // namespace

std::string TextOf(const LogLine& line) {
  std::string text(line.listener);
  if (!line.listener.empty() && !line.connection.empty()) text += ' ';
  text += line.connection;
  if (!text.empty()) text += ": ";
  text += line.message;
  return text;
}

void Log(const LogLine& line) noexcept try {
  if (!IsLogged(line.level)) return;
  SinkHolder& holder = GetSinkHolder();
  const MutexLock lock(holder.mutex);
  if (holder.sink) {
    holder.sink(line);
  } else {
    std::fprintf(stderr, "portreeve: %s\n", TextOf(line).c_str());
  }
} catch (...) {
  // A line for which the sink has no memory is lost; whoever logs it goes on.
}

void Log(LogLevel level, std::string_view message) noexcept {
  Log(LogLine{level, message, {}, {}});
}

bool IsLogged(LogLevel level) noexcept {
  return level >= GetSinkHolder().least.load(std::memory_order_relaxed);
}

void SetLogSink(std::function<void(const LogLine&)> sink, LogLevel least) {
  SinkHolder& holder = GetSinkHolder();
  const MutexLock lock(holder.mutex);
  holder.sink = std::move(sink);
  holder.least = least;
}

}  // namespace portreeve
