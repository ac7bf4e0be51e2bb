// ConnectAs: connects to a unix socket as another user.
#ifndef PORTREEVE_TESTS_TESTING_CONNECT_AS_H_
#define PORTREEVE_TESTS_TESTING_CONNECT_AS_H_

#include <grp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/descriptor.h"
#include "lib/net/address.h"

namespace portreeve::testing {

struct UnixUser {
  uid_t user;
  gid_t group;
  std::vector<gid_t> groups;  // The supplementary ones.
};

// Gives the socket; or none, and sets `error_number`.  Only root can.  It is
// the thread that is somebody else, which the system calls themselves allow and
// libc's do not.
inline Descriptor ConnectAs(const UnixUser& user, const std::string& path,
                            int* error_number = nullptr) {
  Descriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int error = 0;
  std::thread([&] {
    const Unix::Address address(path);
    const bool is_user =
        syscall(SYS_setgroups, user.groups.size(), user.groups.data()) == 0 &&
        syscall(SYS_setresgid, -1, user.group, -1) == 0 &&
        syscall(SYS_setresuid, -1, user.user, -1) == 0;
    if (!is_user || connect(fd.get(), address.data(),
                            static_cast<socklen_t>(address.size())) != 0) {
      error = errno;
    }
  }).join();
  if (error_number != nullptr) *error_number = error;
  return error == 0 ? std::move(fd) : Descriptor();
}

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_CONNECT_AS_H_
