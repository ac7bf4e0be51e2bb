// RequestCounts: how many requests clients made, what was answered, and how
// long that took.
#ifndef PORTREEVE_SERVER_CONTROL_REQUEST_COUNTS_H_
#define PORTREEVE_SERVER_CONTROL_REQUEST_COUNTS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/time_source.h"

namespace portreeve::server {

// Counts for the methods that it is made for, and for no others, so that what
// clients invent takes no memory.  To count takes neither memory nor a lock.
//
// Threads: any.
class RequestCounts {
 public:
  // The codes of gRPC, from OK to UNAUTHENTICATED.
  static constexpr size_t kNumCodes = 17;
  static constexpr size_t kUnknown = 2;  // One of these.
  // How long an answer took at most, for each of the first buckets; the last
  // one has no bound.
  static constexpr std::array<double, 10> kBounds = {
      0.0001, 0.0004, 0.0016, 0.0064, 0.0256,
      0.1024, 0.4096, 1.6384, 6.5536, 26.2144};  // Seconds.
  static constexpr size_t kNumBuckets = kBounds.size() + 1;

  // `methods` are as gRPC writes them: "/portreeve.v1.DaemonService/GetDaemon".
  explicit RequestCounts(const std::vector<std::string>& methods);
  RequestCounts(const RequestCounts&) = delete;
  RequestCounts& operator=(const RequestCounts&) = delete;

  // Gives the number of a method; -1 for one that is not counted.
  int Find(std::string_view method) const;

  // Counts a request of method number `method`, >= 0, that was answered with
  // `code` after `duration`.  A code that gRPC does not have counts as UNKNOWN.
  void Count(int method, int code, Duration duration);

  // What was counted of one method.  The requests by code may be one more or
  // less than those in the buckets, while others count.
  struct Method {
    std::string name;  // "GetDaemon".
    std::array<int64_t, kNumCodes> by_code{};
    std::array<int64_t, kNumBuckets> buckets{};  // Not cumulative.
    int64_t nanoseconds = 0;                     // Of all together.
  };
  // Gives all, in the order in which the methods were given.
  std::vector<Method> Read() const;
  // Adds what was counted elsewhere, of the methods that are counted here.
  void Add(const std::vector<Method>& methods);

  // Gives the bucket of an answer that took so long.
  static size_t BucketOf(double seconds);

 private:
  struct Entry {
    std::string path;
    std::array<std::atomic<int64_t>, kNumCodes> by_code{};
    std::array<std::atomic<int64_t>, kNumBuckets> buckets{};
    std::atomic<int64_t> nanoseconds = 0;
  };
  // In the order of the constructor's argument.  The methods are few, so that
  // looking through them costs less than a hash.
  std::vector<Entry> entries_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_REQUEST_COUNTS_H_
