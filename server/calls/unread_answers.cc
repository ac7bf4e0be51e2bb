#include "server/calls/unread_answers.h"

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/loop_service.h"
#include "server/api/errors.h"

namespace portreeve::server {

UnreadAnswers& UnreadAnswers::Of(asio::io_context& loop) {
  return OfLoop<UnreadAnswers>(loop);
}

bool UnreadAnswers::TryAdd(const std::string& peer, size_t bytes) {
  return Add(peer, bytes, true);
}

void UnreadAnswers::Add(const std::string& peer, size_t bytes) {
  Add(peer, bytes, false);
}

bool UnreadAnswers::Add(const std::string& peer, size_t bytes, bool must_fit) {
  const MutexLock lock(mutex_);
  Account& account = accounts_[peer];
  const bool fits = account.bytes + bytes <= kMaxBytes;
  if (!fits) SetFull(account, true);
  if (!fits && must_fit && account.bytes > 0) return false;
  account.bytes += bytes;
  return true;
}

void UnreadAnswers::Remove(const std::string& peer, size_t bytes) {
  const MutexLock lock(mutex_);
  const auto it = accounts_.find(peer);
  PORTREEVE_CHECK(it != accounts_.end() && it->second.bytes >= bytes);
  it->second.bytes -= bytes;
  SetFull(it->second, it->second.bytes >= kMaxBytes);
  if (it->second.bytes == 0) accounts_.erase(it);
}

bool UnreadAnswers::IsFull(const std::string& peer) {
  const MutexLock lock(mutex_);
  const auto it = accounts_.find(peer);
  return it != accounts_.end() && it->second.is_full;
}

size_t UnreadAnswers::BytesOf(const std::string& peer) {
  const MutexLock lock(mutex_);
  const auto it = accounts_.find(peer);
  return it == accounts_.end() ? 0 : it->second.bytes;
}

void UnreadAnswers::SetFull(Account& account, bool is_full) {
  num_full_ += static_cast<int>(is_full) - static_cast<int>(account.is_full);
  account.is_full = is_full;
}

absl::Status TooMuchUnread() {
  return ServerError(absl::StatusCode::kResourceExhausted, "OVERLOADED",
                     absl::StrCat("answers of ", UnreadAnswers::kMaxBytes >> 20,
                                  " MiB wait on this connection to be read"));
}

}  // namespace portreeve::server
