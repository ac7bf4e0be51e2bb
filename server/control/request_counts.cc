#include "server/control/request_counts.h"

#include <algorithm>
#include <chrono>

namespace portreeve::server {
namespace {

void Increment(std::atomic<int64_t>& count, int64_t by = 1) {
  count.fetch_add(by, std::memory_order_relaxed);
}

template <size_t N>
std::array<int64_t, N> ValuesOf(
    const std::array<std::atomic<int64_t>, N>& counts) {
  std::array<int64_t, N> values;
  for (size_t i = 0; i < N; ++i) {
    values[i] = counts[i].load(std::memory_order_relaxed);
  }
  return values;
}

}  // namespace

size_t RequestCounts::BucketOf(double seconds) {
  return static_cast<size_t>(
      std::lower_bound(kBounds.begin(), kBounds.end(), seconds) -
      kBounds.begin());
}

RequestCounts::RequestCounts(const std::vector<std::string>& methods)
    : entries_(methods.size()) {
  for (size_t i = 0; i < methods.size(); ++i) entries_[i].path = methods[i];
}

int RequestCounts::Find(std::string_view method) const {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].path == method) return static_cast<int>(i);
  }
  return -1;
}

void RequestCounts::Count(int method, int code, Duration duration) {
  Entry& entry = entries_[static_cast<size_t>(method)];
  const bool is_known = code >= 0 && code < static_cast<int>(kNumCodes);
  Increment(entry.by_code[is_known ? static_cast<size_t>(code) : kUnknown]);
  const double seconds = std::chrono::duration<double>(duration).count();
  Increment(entry.buckets[BucketOf(seconds)]);
  Increment(entry.nanoseconds, duration.count());
}

std::vector<RequestCounts::Method> RequestCounts::Read() const {
  std::vector<Method> methods;
  methods.reserve(entries_.size());
  for (const Entry& entry : entries_) {
    methods.push_back({entry.path.substr(entry.path.rfind('/') + 1),
                       ValuesOf(entry.by_code), ValuesOf(entry.buckets),
                       entry.nanoseconds.load(std::memory_order_relaxed)});
  }
  return methods;
}

void RequestCounts::Add(const std::vector<Method>& methods) {
  for (const Method& method : methods) {
    for (Entry& entry : entries_) {
      if (entry.path.substr(entry.path.rfind('/') + 1) != method.name) continue;
      for (size_t i = 0; i < kNumCodes; ++i) {
        Increment(entry.by_code[i], method.by_code[i]);
      }
      for (size_t i = 0; i < kNumBuckets; ++i) {
        Increment(entry.buckets[i], method.buckets[i]);
      }
      Increment(entry.nanoseconds, method.nanoseconds);
    }
  }
}

}  // namespace portreeve::server
