#include "client/cli/details.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "client/cli/describe_text.h"
#include "client/cli/newest_events.h"
#include "client/cli/printable.h"

namespace portreeve::cli {
namespace {

absl::StatusOr<std::string> Describe(const std::string& name,
                                     Session& session) {
  const auto listener = session.client.GetListener(name, session.Ordinary());
  if (!listener.ok()) return listener.status();
  const auto events = NewestEvents(name, session);
  if (!events.ok()) return events.status();
  return DescribeListener(*listener, *events, absl::Now());
}

}  // namespace

Details::Details(const std::string& name, const Session& session,
                 std::function<void()> on_news)
    : name_(name), session_(session), on_news_(std::move(on_news)) {
  session_.canceller = &canceller_;
  thread_ = std::thread([this] { Ask(); });
}

Details::~Details() {
  canceller_.Cancel();
  thread_.join();
}

void Details::Ask() {
  absl::StatusOr<std::string> text = Describe(name_, session_);
  {
    absl::MutexLock lock(&mutex_);
    text_ = std::move(text);
  }
  on_news_();
}

std::vector<std::string> Details::Lines(size_t columns, size_t rows) const {
  std::string text;
  {
    absl::MutexLock lock(&mutex_);
    if (!text_) {
      text = absl::StrCat("asking the daemon about ", Printable(name_));
    } else if (text_->ok()) {
      text = **text_;
    } else {
      text = Printable(std::string(text_->status().message()));
    }
  }
  std::vector<std::string> lines =
      absl::StrSplit(text, '\n', absl::SkipEmpty());
  const size_t room = rows > 1 ? rows - 1 : 1;
  std::string keys = "any key: back";
  if (lines.size() > room) {
    absl::StrAppend(&keys, "; ", lines.size() - room,
                    " more lines: portreeve describe ", Printable(name_));
    lines.resize(room);
  }
  lines.push_back(keys);
  for (std::string& line : lines) line = CutToFit(line, columns);
  return lines;
}

}  // namespace portreeve::cli
