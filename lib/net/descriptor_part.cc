#include "lib/net/descriptor_part.h"

#include <sys/resource.h>

#include <algorithm>
#include <limits>

namespace portreeve {
namespace {

int64_t LimitOfProcess() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  constexpr rlim_t kMost = std::numeric_limits<int>::max();
  return static_cast<int64_t>(std::min(limit.rlim_cur, kMost));
}

}  // namespace

DescriptorPart& DescriptorPart::OfAttempts() {
  static DescriptorPart part;
  return part;
}

DescriptorPart& DescriptorPart::OfLookups() {
  static DescriptorPart part;
  return part;
}

DescriptorPart& DescriptorPart::OfPipes() {
  static DescriptorPart part;
  return part;
}

int DescriptorPart::SizeFor(int64_t limit) {
  return static_cast<int>(std::clamp<int64_t>(limit / 80, 4, 1024));
}

DescriptorPart::DescriptorPart() : most_(SizeFor(LimitOfProcess())) {}

bool DescriptorPart::Take() {
  if (num_taken_.fetch_add(1) < most_) return true;
  num_taken_.fetch_sub(1);
  return false;
}

void DescriptorPart::GiveBack(int count) { num_taken_.fetch_sub(count); }

}  // namespace portreeve
