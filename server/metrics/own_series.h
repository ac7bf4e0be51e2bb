// OwnSeries: which listeners have series of their own (--metrics-listeners).
#ifndef PORTREEVE_SERVER_METRICS_OWN_SERIES_H_
#define PORTREEVE_SERVER_METRICS_OWN_SERIES_H_

#include <cstddef>
#include <string>

#include "absl/container/flat_hash_set.h"

namespace portreeve::server {

// Gives the first listeners series of their own, and folds the others into one.
// What a listener has is decided when it is seen first, and stays: else the sum
// of the folded ones would fall when one leaves it, which Prometheus takes for
// a restart, and jump when one joins it.
//
// Listeners are told apart by their uid.
// Threads: one.
class OwnSeries {
 public:
  static constexpr size_t kDefault = 5000;

  // `most` listeners have their own at a time.
  explicit OwnSeries(size_t most) : most_(most) {}

  // Whether a listener has its own.
  bool Has(const std::string& uid);
  // A listener is gone, and its place is free.  Gives whether it was folded.
  bool Forget(const std::string& uid);

  using Uids = absl::flat_hash_set<std::string>;
  const Uids& own() const { return own_; }
  const Uids& folded() const { return folded_; }
  // Goes on from the one of another process, which has given its own to `own`:
  // these keep it, also where they are more than `most`.
  void Restore(Uids own, Uids folded, bool has_folded);

  // Whether any was folded, ever.
  bool has_folded() const { return has_folded_; }

 private:
  const size_t most_;
  bool has_folded_ = false;
  Uids own_;
  Uids folded_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_METRICS_OWN_SERIES_H_
