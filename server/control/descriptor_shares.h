// DescriptorShares: how many of the process's descriptors each may have.
#ifndef PORTREEVE_SERVER_CONTROL_DESCRIPTOR_SHARES_H_
#define PORTREEVE_SERVER_CONTROL_DESCRIPTOR_SHARES_H_

#include <cstdint>

#include "lib/net/descriptor_budget.h"

namespace portreeve::server {

// Each of those who take descriptors for what comes from outside has a share,
// so that none can take what another needs: clients of the control plane get in
// even while connections have all that they may have.
struct DescriptorShares {
  // Descriptors for the connections of listeners, and those that are dialled.
  int connections = 0;
  // How many clients the control plane may have.
  int control_connections = 0;
  // How many clients the HTTP port may have, each with one; 0 without one.
  int http_connections = 0;
  // Descriptors for listeners; further listeners take from `connections`.
  int listeners = 0;

  // Each client of the control plane takes two: gRPC's, and the copy by which
  // it is watched.
  static constexpr int kOfControlConnection = 2;

  // Descriptors for gRPC, the logs, and whatever is open for a moment; and for
  // each loop.
  static constexpr int kOfTheDaemon = 24;
  static constexpr int kOfLoop = 5;
  // Gives what is nobody's share: these, and the parts of DescriptorPart.
  static int64_t Reserve(int64_t limit, int num_loops);

  // Divides `limit`, that of the process (RLIMIT_NOFILE).  A tenth, or the
  // reserve if that is more, is for the reserve and listeners; an eighth at
  // most for the control plane, and as much for the HTTP port, which has a loop
  // of its own beside `num_loops`.
  static DescriptorShares Of(int64_t limit, int max_control_connections,
                             int num_loops, int max_http_connections = 0);
};

// Counts the descriptors of listeners.
// Threads: loop thread only.
class ListenerDescriptors {
 public:
  // `beyond` must outlive it.
  ListenerDescriptors(int share, DescriptorBudget& beyond)
      : free_(share), beyond_(beyond) {}

  // Takes one for a listener; gives false where there is none.
  bool Take();
  void GiveBack();

 private:
  int free_;
  DescriptorBudget& beyond_;
  int taken_beyond_ = 0;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_DESCRIPTOR_SHARES_H_
