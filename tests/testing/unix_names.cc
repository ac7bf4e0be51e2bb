#include "tests/testing/unix_names.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace portreeve::testing {
namespace {

constexpr size_t kPathOffset = offsetof(sockaddr_un, sun_path);

Descriptor NewSocket() {
  Descriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval deadline{20, 0};
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &deadline,
                   sizeof deadline);
  return fd;
}

bool Bind(const Descriptor& fd, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name.data(), name.size());
  return bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
              static_cast<socklen_t>(kPathOffset + name.size())) == 0;
}

std::string Padded(std::string name, size_t size) {
  name.resize(size, 'x');
  return name;
}

// Abstract names are the machine's: one that nobody has.
std::string FreeAbstractByte() {
  for (char byte = 1; byte < 127; ++byte) {
    std::string name = std::string(1, '\0') + byte;
    if (Bind(NewSocket(), name)) return name;
  }
  std::abort();
}

}  // namespace

std::vector<UnixName> UnixNames(const std::string& folder) {
  const std::string nul(1, '\0');
  const std::string own = nul + "portreeve-test-" + std::to_string(getpid());
  return {
      {"no name", ""},
      {"a path of 1 byte", "p"},
      {"a path of 107 bytes", Padded(folder + "/", 107)},
      {"a path of 108 bytes", Padded(folder + "/", 108)},
      {"a path with a newline, and not UTF-8", folder + "/a\nb\xff\xc3"},
      {"an abstract name of 1 byte", FreeAbstractByte()},
      {"an abstract name of 106 bytes", Padded(own + "-", 107)},
      {"an abstract name of 107 bytes", Padded(own + "-", 108)},
      {"an abstract name with a newline", own + "\n"},
      {"an abstract name with NULs", own + nul + "a" + nul},
      {"an abstract name that is not UTF-8", own + "\xff\xc3"},
  };
}

Descriptor BoundUnixSocket(const std::string& name) {
  Descriptor fd = NewSocket();
  if (!name.empty() && !Bind(fd, name)) {
    std::perror("bind");
    std::abort();
  }
  return fd;
}

Descriptor ConnectedUnixSocket(const std::string& name,
                               const std::string& path) {
  Descriptor fd = BoundUnixSocket(name);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                    sizeof address),
            0)
      << path;
  return fd;
}

}  // namespace portreeve::testing
