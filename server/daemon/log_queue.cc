#include "server/daemon/log_queue.h"

#include <algorithm>
#include <new>

namespace portreeve::server {
namespace {

// Memory beyond this is given back once it was used.
constexpr size_t kKeptBytes = 64 * 1024;

void Empty(std::string& text) {
  if (text.capacity() > kKeptBytes) {
    std::string().swap(text);
  } else {
    text.clear();
  }
}

}  // namespace

bool LogQueue::Add(std::string_view line) {
  // The whole of the batch is kept until its end.
  const size_t used = batch_.size() + queued_.size();
  if (dropped_ > 0 || used + line.size() + 1 > capacity_) {
    ++dropped_;
    return false;
  }
  const size_t at = queued_.size();
  try {
    queued_.reserve(at + line.size() + 1);
  } catch (const std::bad_alloc&) {
    ++dropped_;
    return false;
  }
  queued_.append(line);
  // Hardly any has one, and to look for it is quicker.
  if (line.find('\n') != line.npos) {
    std::replace(queued_.begin() + static_cast<ptrdiff_t>(at), queued_.end(),
                 '\n', ' ');
  }
  queued_.push_back('\n');
  return true;
}

void LogQueue::TakeBatch() {
  batch_.swap(queued_);
  if (dropped_ == 0) return;
  try {
    batch_.append(note_(dropped_) + '\n');
    dropped_ = 0;
  } catch (const std::bad_alloc&) {
    // The next batch tells it.
  }
}

std::string_view LogQueue::Next(size_t most) {
  if (InBetween()) TakeBatch();
  const std::string_view rest = std::string_view(batch_).substr(begin_);
  if (torn_ && !rest.empty()) return "\n";
  if (rest.size() <= most) return rest;
  const size_t last = rest.rfind('\n', most - 1);
  return rest.substr(0, last == rest.npos ? most : last + 1);
}

void LogQueue::OnWritten(size_t size) {
  if (torn_) {
    torn_ = false;
    return;
  }
  begin_ += size;
  if (!InBetween()) return;
  Empty(batch_);
  begin_ = 0;
}

void LogQueue::OnFailure() {
  if (!IsWithinLine() || batch_[begin_] == '\n') return;
  const size_t before = batch_.rfind('\n', begin_ - 1);
  begin_ = before == batch_.npos ? 0 : before + 1;
  torn_ = true;
}

void LogQueue::OnReopened(bool same_file) {
  OnFailure();
  if (same_file) return;
  torn_ = false;
  // The old file has all of the line but its line feed.
  if (IsWithinLine()) OnWritten(1);
}

}  // namespace portreeve::server
