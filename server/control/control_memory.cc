#include "server/control/control_memory.h"

#include <fcntl.h>
#include <grpcpp/alarm.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <memory>
#include <utility>

namespace portreeve::server {
namespace {

// Sanitizers take memory of their own, many times what the program asks for.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PORTREEVE_SANITIZED 1
#endif
#endif
#ifdef PORTREEVE_SANITIZED
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

constexpr std::chrono::seconds kMarkInterval{1};

}  // namespace

MemoryPolicy::Alarm MemoryPolicy::Look(TimePoint now, int64_t bytes,
                                       int64_t resident, int64_t credit) {
  // What was too large before a pause may have been so for something else.
  if (last_look_ && now - *last_look_ > kMarkInterval) too_large_since_.reset();
  last_look_ = now;
  const Memory memory{bytes, resident, credit, credit};
  const bool is_first = !marked_.has_value();
  if (is_first || now - *marked_ >= kMarkInterval) {
    // After a pause both marks are old.
    older_ = is_first || now - *marked_ >= 2 * kMarkInterval ? memory : newer_;
    newer_ = memory;
    marked_ = now;
  }
  for (Memory* mark : {&older_, &newer_}) {
    // What was given back may come again.
    if (const int64_t fallen = mark->resident - resident; fallen > 0) {
      mark->resident = resident;
      mark->unaccounted =
          std::clamp(bytes, mark->unaccounted - fallen, mark->unaccounted);
      mark->credit = mark->most_credit = std::min(mark->credit, credit);
    }
    mark->most_credit = std::max(mark->most_credit, credit);
  }
  const int64_t part = IsOnAlert(now) ? kGrowthPartOnAlert : kGrowthPart;
  const int64_t growth =
      std::min(bytes - older_.unaccounted, resident - older_.resident) -
      (older_.most_credit - older_.credit);
  KeepCredit(now, credit);
  const int64_t excess = bytes - credit_ - limit_;
  const bool is_growth = growth > limit_ / part;
  const int64_t before = std::min<int64_t>(older_.unaccounted, 0);
  const bool is_beyond = IsMuch(bytes - before - credit_);
  if (excess > 0 || (is_growth && is_beyond)) {
    alert_until_ = After(now, kAlert);
  }
  if (IsLevel(now, excess)) return Alarm::kLevel;
  if (!is_growth) return Alarm::kNone;
  older_ = newer_ = memory;
  return is_beyond ? Alarm::kGrowth : Alarm::kGrowthWithinCredit;
}

void MemoryPolicy::KeepCredit(TimePoint now, int64_t credit) {
  if (!credit_marked_ || now - *credit_marked_ >= kAfterCarrying) {
    credit_marked_ = now;
    older_credit_ = newer_credit_;
    newer_credit_ = credit;
  }
  newer_credit_ = std::max(newer_credit_, credit);
  credit_ = std::max(older_credit_, newer_credit_);
  const bool has_fallen = IsMuch(credit_ - credit);
  if (has_fallen && !credit_has_fallen_) TrimAnew(now);
  credit_has_fallen_ = has_fallen;
}

void MemoryPolicy::OnServerEnded(TimePoint now, int64_t credit) {
  if (IsMuch(credit)) TrimAnew(now);
}

bool MemoryPolicy::IsLevel(TimePoint now, int64_t excess) {
  if (excess <= 0) {
    too_large_since_.reset();
    // The next time it may be too large for another reason.
    if (!next_trim_) num_trimmed_ = 0;
    return false;
  }
  // The excess may be what is left of a flood that is over, and nobody's fault.
  const bool may_help = num_trimmed_ < static_cast<int>(std::size(kTrimAfter));
  if (may_help) TrimAt(too_large_since_ ? After(now, kTrimSoon) : now);
  if (!too_large_since_) too_large_since_ = now;
  return excess > limit_ / kTrimFirstPart ||
         now - *too_large_since_ >= kTrimFirst;
}

void MemoryPolicy::OnShutDown(TimePoint now) { TrimAnew(now); }

void MemoryPolicy::TrimAnew(TimePoint now) {
  num_trimmed_ = 0;
  TrimAt(After(now, kTrimAfter[0]));
}

void MemoryPolicy::TrimAt(TimePoint latest) {
  next_trim_ = std::min(next_trim_.value_or(latest), latest);
}

void MemoryPolicy::OnTrimmed(TimePoint now) {
  ++num_trimmed_;
  next_trim_.reset();
  if (num_trimmed_ < static_cast<int>(std::size(kTrimAfter))) {
    next_trim_ = After(now, kTrimAfter[num_trimmed_]);
  }
}

ControlMemory::ControlMemory(int64_t limit, Accounted accounted)
    : policy_(limit),
      accounted_(std::move(accounted)),
      statm_(open("/proc/self/statm", O_RDONLY | O_CLOEXEC)),
      at_start_(Resident()) {}

int64_t ControlMemory::Unaccounted() const {
  return Resident() == 0 ? 0 : Resident() - at_start_ - accounted_();
}

int64_t ControlMemory::Resident() const {
  if (kSanitized || !statm_.is_open()) return 0;
  char text[128];
  const ssize_t n = pread(statm_.get(), text, sizeof text - 1, 0);
  if (n <= 0) return 0;
  text[n] = '\0';
  long all = 0;
  long resident = 0;
  if (std::sscanf(text, "%ld %ld", &all, &resident) != 2) return 0;
  return resident * sysconf(_SC_PAGESIZE);
}

void ControlMemory::Trim() {
  // This trims the heap's memory of each thread, which takes milliseconds.
  auto alarm = std::make_shared<grpc::Alarm>();
  alarm->Set(std::chrono::system_clock::now(), [alarm](bool) mutable {
    malloc_trim(0);
    alarm.reset();  // The alarm has the function, which has the alarm.
  });
}

}  // namespace portreeve::server
