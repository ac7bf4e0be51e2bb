#include "server/daemon/log_format.h"

#include <spdlog/pattern_formatter.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/mutex.h"
#include "server/api/json_line.h"
#include "server/api/utf8.h"
#include "server/api/visible_text.h"

namespace portreeve::server {
namespace {

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      break;
  }
  return spdlog::level::err;
}

absl::string_view NameOf(LogLevel level) {
  const auto name = spdlog::level::to_string_view(LevelOf(level));
  return {name.data(), name.size()};
}

std::string Visible(absl::string_view text) {
  return EscapeInvisible(EscapeNonUtf8(text));
}

absl::string_view ToAbsl(std::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

// The time, by RFC 3339.
class LogFormatter::Time {
 public:
  std::string Now() PORTREEVE_EXCLUDES(mutex_) {
    const spdlog::details::log_msg now("", spdlog::level::info, "");
    spdlog::memory_buf_t text;
    const MutexLock lock(mutex_);
    formatter_.format(now, text);
    return {text.data(), text.size()};
  }

 private:
  Mutex mutex_;
  // It has the second before, written, and so asks the calendar once a second.
  spdlog::pattern_formatter formatter_ PORTREEVE_GUARDED_BY(mutex_){
      "%Y-%m-%dT%H:%M:%S.%eZ", spdlog::pattern_time_type::utc, ""};
};

LogFormatter::LogFormatter(LogFormat format)
    : format_(format), time_(std::make_unique<Time>()) {}

LogFormatter::~LogFormatter() = default;

std::string LogFormatter::Format(const LogLine& line) const {
  const std::string time = time_->Now();
  const absl::string_view level = NameOf(line.level);
  if (format_ == LogFormat::kText) {
    return absl::StrCat(time, " ", level, " ", Visible(TextOf(line)));
  }
  std::vector<JsonField> fields = {{"time", absl::string_view(time)},
                                   {"level", level},
                                   {"message", ToAbsl(line.message)}};
  if (!line.listener.empty()) {
    fields.push_back({"listener", ToAbsl(line.listener)});
  }
  if (!line.connection.empty()) {
    fields.push_back({"connection", ToAbsl(line.connection)});
  }
  return JsonLine(fields);
}

std::string LogFormatter::DroppedLines(int64_t lines) const {
  const std::string message =
      absl::StrCat(lines, " lines were dropped here: stderr did not take them");
  return Format({LogLevel::kWarning, message});
}

std::string LogFormatter::FailedStart(absl::string_view reason) const {
  if (format_ == LogFormat::kText) {
    return absl::StrCat("portreeved: ", Visible(reason));
  }
  return Format({LogLevel::kError, {reason.data(), reason.size()}});
}

}  // namespace portreeve::server
