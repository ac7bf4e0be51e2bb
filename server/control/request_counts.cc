#include "server/control/request_counts.h"

#include <algorithm>
#include <chrono>

namespace portreeve::server {
namespace {

constexpr size_t kUnknown = 2;  // gRPC's code.

size_t BucketOf(Duration duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  return static_cast<size_t>(std::lower_bound(RequestCounts::kBounds.begin(),
                                              RequestCounts::kBounds.end(),
                                              seconds) -
                             RequestCounts::kBounds.begin());
}

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
  Increment(entry.buckets[BucketOf(duration)]);
  Increment(entry.nanoseconds, duration.count());
}

std::vector<RequestCounts::Method> RequestCounts::Read() const {
  std::vector<Method> methods;
  methods.reserve(entries_.size());
  for (const Entry& entry : entries_) {
    constexpr double kSecond = 1e9;
    methods.push_back({entry.path.substr(entry.path.rfind('/') + 1),
                       ValuesOf(entry.by_code), ValuesOf(entry.buckets),
                       static_cast<double>(
                           entry.nanoseconds.load(std::memory_order_relaxed)) /
                           kSecond});
  }
  return methods;
}

}  // namespace portreeve::server
