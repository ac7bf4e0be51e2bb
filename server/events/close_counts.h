// CloseCounts: why the connections of a listener were closed, counted
// (ListenerStatus.closed_by_reason).
#ifndef PORTREEVE_SERVER_EVENTS_CLOSE_COUNTS_H_
#define PORTREEVE_SERVER_EVENTS_CLOSE_COUNTS_H_

#include <google/protobuf/map.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/base/status.h"
#include "portreeve/v1/connection.pb.h"
#include "server/api/backward_writer.h"

namespace portreeve::server {

// Counting takes no memory.
// Threads: loop thread only.
class CloseCounts {
 public:
  // Counts a connection.
  void Count(v1::CloseReason reason) {
    ++counts_[static_cast<size_t>(reason)];
    any_ = true;
  }
  // Counts one that had no upstream, with UPSTREAM_UNREACHABLE and for
  // `failure`, the reason of its ConnectionFailure.
  void CountFailure(Reason failure) {
    Count(v1::CLOSE_REASON_UPSTREAM_UNREACHABLE);
    ++failures_[static_cast<size_t>(failure)];
  }

  // Gives how many there were in all.
  int64_t total() const;

  // Give how many there were of each.
  int64_t count(v1::CloseReason reason) const {
    return counts_[static_cast<size_t>(reason)];
  }
  int64_t failures(Reason failure) const {
    return failures_[static_cast<size_t>(failure)];
  }

  // Adds those of `other`.
  void Add(const CloseCounts& other);

  // Takes the counts that Write() or Save() has given, in place of all that
  // were counted; those of reasons that this version does not know are left
  // out.
  void Restore(const google::protobuf::Map<std::string, int64_t>& counts);

  // Gives the counts that are not 0, with the keys of
  // ListenerStatus.closed_by_reason.
  google::protobuf::Map<std::string, int64_t> Save() const;

  // Writes the counts that are not 0 as the entries of the map `field`.
  void Write(int field, BackwardWriter& writer) const;

 private:
  bool any_ = false;  // Each event of a listener writes this.
  std::array<int64_t, v1::CloseReason_ARRAYSIZE> counts_{};
  std::array<int64_t, static_cast<size_t>(Reason::kOther) + 1> failures_{};
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_EVENTS_CLOSE_COUNTS_H_
