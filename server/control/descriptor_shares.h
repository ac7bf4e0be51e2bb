// DescriptorShares: who may have how many of the process's descriptors.
#ifndef PORTREEVE_SERVER_CONTROL_DESCRIPTOR_SHARES_H_
#define PORTREEVE_SERVER_CONTROL_DESCRIPTOR_SHARES_H_

#include <cstdint>

#include "lib/net/descriptor_budget.h"

namespace portreeve::server {

// Each of those who take descriptors for what comes from outside has a share,
// so that none can take what another needs: clients of the control plane get in
// while connections have all that they may have.
struct DescriptorShares {
  // Of the connections of listeners, and those that are dialled.
  int connections = 0;
  // How many clients the control plane may have.
  int control_connections = 0;
  // Of the listeners; those beyond take from `connections`.
  int listeners = 0;

  // Two for each client of the control plane: gRPC's, and the copy by which it
  // is watched.
  static constexpr int kOfControlConnection = 2;

  // Of gRPC, the logs, and whatever is open for a moment; and of each loop.
  static constexpr int kOfTheDaemon = 24;
  static constexpr int kOfLoop = 5;
  // What is nobody's share: these, and the parts of DescriptorPart.
  static int64_t Reserve(int64_t limit, int num_loops);

  // `limit` is that of the process (RLIMIT_NOFILE).  A tenth, and the reserve
  // at the least, is for the reserve and listeners; an eighth at most for the
  // control plane.
  static DescriptorShares Of(int64_t limit, int max_control_connections,
                             int num_loops);
};

// The descriptors of the listeners.
// Threads: loop thread only.
class ListenerDescriptors {
 public:
  // `beyond` outlives it.
  ListenerDescriptors(int share, DescriptorBudget& beyond)
      : free_(share), beyond_(beyond) {}

  // One for a listener; false where there is none.
  bool Take();
  void GiveBack();

 private:
  int free_;
  DescriptorBudget& beyond_;
  int taken_beyond_ = 0;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_DESCRIPTOR_SHARES_H_
