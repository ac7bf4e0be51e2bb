#include "lib/net/descriptor_budget.h"

#include "lib/base/check.h"

namespace portreeve {

void DescriptorBudget::Take(int count) {
  PORTREEVE_CHECK(Has(count));
  free_ -= count;
}

void DescriptorBudget::GiveBack(int count) {
  free_ += count;
  // Each waiter is woken at most once: one that joins again stands at the end.
  for (size_t n = waiters_.size(); n > 0 && !waiters_.empty(); --n) {
    Waiter* const waiter = waiters_.front();
    if (waiter->count_ > free_) return;
    waiter->Leave();
    waiter->wake_();
  }
}

void DescriptorBudget::Waiter::Join(int count) {
  if (joined_) return;
  // Where there is no memory for this, it has not joined.
  position_ = budget_.waiters_.insert(budget_.waiters_.end(), this);
  joined_ = true;
  count_ = count;
}

void DescriptorBudget::Waiter::Leave() {
  if (!joined_) return;
  joined_ = false;
  budget_.waiters_.erase(position_);
}

}  // namespace portreeve
