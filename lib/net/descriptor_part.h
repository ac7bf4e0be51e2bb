// DescriptorPart: a bound on descriptors that no connection is counted with.
#ifndef PORTREEVE_LIB_NET_DESCRIPTOR_PART_H_
#define PORTREEVE_LIB_NET_DESCRIPTOR_PART_H_

#include <atomic>
#include <cstdint>

namespace portreeve {

// A connection is counted with the descriptors that it is to have in the end
// (lib/net/descriptor_budget.h).  What comes and goes beside them, in numbers
// that peers and name servers decide, has parts of the process's descriptors of
// its own, so that it cannot take those of others.  Whoever finds its part used
// up does without.
//
// Threads: any.
class DescriptorPart {
 public:
  // The part for attempts to connect beside the first one of a connect.
  static DescriptorPart& OfAttempts();
  // The part for sockets of lookups beside the first one of a name.
  static DescriptorPart& OfLookups();
  // The part for pipes, each with two descriptors.
  static DescriptorPart& OfPipes();

  // Gives how many attempts, sockets or pipes a part has, where the process may
  // have `limit` descriptors: an eightieth of that, but 4 at least and 1024 at
  // most.
  static int SizeFor(int64_t limit);
  // Gives how many descriptors all parts have together.
  static int64_t DescriptorsFor(int64_t limit) {
    return int64_t{4} * SizeFor(limit);
  }

  DescriptorPart();
  DescriptorPart(const DescriptorPart&) = delete;
  DescriptorPart& operator=(const DescriptorPart&) = delete;

  // Takes one; returns false where none is left.
  bool Take();
  // Takes one that is there already, also where none is left.
  void TakeAnyway() { num_taken_.fetch_add(1); }
  void GiveBack(int count);
  int num_taken() const { return num_taken_; }

 private:
  const int most_;
  std::atomic<int> num_taken_{0};
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_DESCRIPTOR_PART_H_
