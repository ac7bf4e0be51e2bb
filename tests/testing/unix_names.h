// The names that a unix client may bind its socket to.
#ifndef PORTREEVE_TESTS_TESTING_UNIX_NAMES_H_
#define PORTREEVE_TESTS_TESTING_UNIX_NAMES_H_

#include <string>
#include <vector>

#include "lib/base/descriptor.h"

namespace portreeve::testing {

// A kind of name, and how it is told in a test's output.
struct UnixName {
  std::string label;
  // The bytes of sun_path, 0-108.  Empty: none; with a NUL first: abstract.
  std::string name;
};

// One of each kind that the kernel takes, paths in `folder`, which is the
// working directory.
std::vector<UnixName> UnixNames(const std::string& folder);

// A blocking socket bound to `name` by bind(2) itself, with a deadline for its
// reads.  Ends the test's process if it cannot.
Descriptor BoundUnixSocket(const std::string& name);

// The same, connected to the listener at `path`; fails the test where that is
// refused.
Descriptor ConnectedUnixSocket(const std::string& name,
                               const std::string& path);

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_UNIX_NAMES_H_
