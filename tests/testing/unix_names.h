// The names that a unix client may bind its socket to.
#ifndef PORTREEVE_TESTS_TESTING_UNIX_NAMES_H_
#define PORTREEVE_TESTS_TESTING_UNIX_NAMES_H_

#include <string>
#include <vector>

#include "lib/base/descriptor.h"

namespace portreeve::testing {

// A kind of name, and how a test's output calls it.
struct UnixName {
  std::string label;
  // The bytes of sun_path, 0-108.  Empty: none; with a NUL first: abstract.
  std::string name;
};

// Gives one of each kind that the kernel takes; paths are in `folder`, which is
// the working directory.
std::vector<UnixName> UnixNames(const std::string& folder);

// Gives a blocking socket that bind(2) itself has bound to `name`, with a
// deadline for its reads.  It ends the test's process where that fails.
Descriptor BoundUnixSocket(const std::string& name);

// Gives the same, connected to the listener at `path`; it fails the test where
// that is refused.
Descriptor ConnectedUnixSocket(const std::string& name,
                               const std::string& path);

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_UNIX_NAMES_H_
