#include "client/canceller.h"

#include <utility>

namespace portreeve::client {

void Canceller::Cancel() {
  absl::MutexLock lock(&mutex_);
  if (cancelled_) return;
  cancelled_ = true;
  for (const auto& [key, cancel] : entries_) cancel();
}

bool Canceller::is_cancelled() const {
  absl::MutexLock lock(&mutex_);
  return cancelled_;
}

void Canceller::Add(const void* key, std::function<void()> cancel) {
  absl::MutexLock lock(&mutex_);
  // A call that has not started yet ends as soon as it does.
  if (cancelled_) cancel();
  entries_.emplace(key, std::move(cancel));
}

void Canceller::Remove(const void* key) {
  absl::MutexLock lock(&mutex_);
  entries_.erase(key);
}

CancellerEntry::CancellerEntry(Canceller* canceller,
                               std::function<void()> cancel)
    : canceller_(canceller) {
  if (canceller_ != nullptr) canceller_->Add(this, std::move(cancel));
}

CancellerEntry::~CancellerEntry() {
  if (canceller_ != nullptr) canceller_->Remove(this);
}

}  // namespace portreeve::client
