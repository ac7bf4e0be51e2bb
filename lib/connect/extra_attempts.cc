#include "lib/connect/extra_attempts.h"

#include "lib/net/descriptor_part.h"

namespace portreeve {

bool ExtraAttempts::Take() {
  if (!DescriptorPart::OfAttempts().Take()) return false;
  ++num_taken_;
  return true;
}

void ExtraAttempts::KeepAtMost(int count) {
  if (num_taken_ <= count) return;
  DescriptorPart::OfAttempts().GiveBack(num_taken_ - count);
  num_taken_ = count;
}

}  // namespace portreeve
