// What tests of a hand-over share: a pair of sockets, and a clock that moves
// where nobody would do anything any more.
#ifndef PORTREEVE_TESTS_SERVER_HANDOVER_HANDOVER_PAIR_H_
#define PORTREEVE_TESTS_SERVER_HANDOVER_HANDOVER_PAIR_H_

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <span>
#include <string>
#include <utility>

#include "lib/base/descriptor.h"
#include "server/handover/handover_clock.h"

namespace portreeve::server {

inline std::pair<Descriptor, Descriptor> SocketPair(int type = SOCK_SEQPACKET) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

inline Descriptor MemoryFile(const std::string& bytes) {
  Descriptor file(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(write(file.get(), bytes.data(), bytes.size()),
            static_cast<ssize_t>(bytes.size()));
  return file;
}

// A clock for both sides in one thread: where nothing is ready, nothing will
// be, and so the time is that of the deadline.
class ImpatientClock : public HandoverClock {
 public:
  TimePoint Now() override { return now_; }
  bool Poll(std::span<pollfd> fds, TimePoint deadline) override {
    const int ready = poll(fds.data(), fds.size(), 0);
    if (ready > 0) return true;
    if (deadline > now_) now_ = deadline;
    return false;
  }
  void Set(TimePoint now) { now_ = now; }

 private:
  TimePoint now_{std::chrono::hours(1)};
};

}  // namespace portreeve::server

#endif  // PORTREEVE_TESTS_SERVER_HANDOVER_HANDOVER_PAIR_H_
