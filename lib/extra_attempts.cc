#include "lib/extra_attempts.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>

namespace portreeve {
namespace {

// Of the process.
std::atomic<int> num_extra{0};

// A fortieth of the descriptors, of which connections take at most 90 %.
int MostExtra() {
  static const int most = [] {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = 1024;
    return static_cast<int>(std::clamp<rlim_t>(limit.rlim_cur / 40, 4, 1024));
  }();
  return most;
}

}  // namespace

bool ExtraAttempts::Take() {
  if (num_extra.fetch_add(1) >= MostExtra()) {
    num_extra.fetch_sub(1);
    return false;
  }
  ++num_taken_;
  return true;
}

void ExtraAttempts::KeepAtMost(int count) {
  if (num_taken_ <= count) return;
  num_extra.fetch_sub(num_taken_ - count);
  num_taken_ = count;
}

}  // namespace portreeve
