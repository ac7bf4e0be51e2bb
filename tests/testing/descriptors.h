// Counts the descriptors of this process, and takes them away for a while.
#ifndef PORTREEVE_TESTS_TESTING_DESCRIPTORS_H_
#define PORTREEVE_TESTS_TESTING_DESCRIPTORS_H_

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

namespace portreeve::testing {

// Gives how many are open.
inline int CountDescriptors() {
  DIR* const directory = opendir("/proc/self/fd");
  if (directory == nullptr) return -1;
  int count = 0;
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count - 3;  // ".", "..", and the directory itself.
}

// Gives how many are open that are no sockets of TCP.  gRPC closes its
// connections on threads of its own, some time after their owner has ended.
inline int CountDescriptorsButTcp() {
  DIR* const directory = opendir("/proc/self/fd");
  if (directory == nullptr) return -1;
  int count = 0;
  while (const dirent* const entry = readdir(directory)) {
    int domain = 0;
    socklen_t size = sizeof domain;
    const bool is_socket = getsockopt(std::atoi(entry->d_name), SOL_SOCKET,
                                      SO_DOMAIN, &domain, &size) == 0;
    if (!is_socket || (domain != AF_INET && domain != AF_INET6)) ++count;
  }
  closedir(directory);
  return count - 3;  // ".", "..", and the directory itself.
}

// Leaves exactly `left` descriptors free while it lives.
class FewDescriptors {
 public:
  explicit FewDescriptors(int left) {
    getrlimit(RLIMIT_NOFILE, &before_);
    // The lowest free number is where the next descriptor goes.
    const int next = fcntl(0, F_DUPFD_CLOEXEC, 0);
    close(next);
    rlimit lowered = before_;
    lowered.rlim_cur = static_cast<rlim_t>(next + left);
    setrlimit(RLIMIT_NOFILE, &lowered);
  }
  ~FewDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_DESCRIPTORS_H_
