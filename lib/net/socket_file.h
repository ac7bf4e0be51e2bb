// The file of a unix socket, held fast between what is asked about it and the
// connection to it.
#ifndef PORTREEVE_LIB_NET_SOCKET_FILE_H_
#define PORTREEVE_LIB_NET_SOCKET_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "lib/net/address.h"

namespace portreeve {

// Both functions open a file with O_PATH: nothing happens to the file, and the
// descriptor is for ConnectOptions::open.  Errors are those that connect(2)
// would give, as "connect ADDRESS: TEXT" with `address`; FD_LIMIT.

// Opens what `address` leads to, through whatever links.
absl::StatusOr<Descriptor> OpenSocketFile(const Unix::Address& address);

// Opens the file that is at `resolved`, an absolute path, itself: no part of
// the path may be a link.  It needs openat2(2): the error is SYSTEM_ERROR on a
// kernel before Linux 5.6.
absl::StatusOr<Descriptor> OpenSocketFileWithoutLinks(
    const Unix::Address& address, const std::string& resolved);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_SOCKET_FILE_H_
