#include "lib/net/socket_file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace portreeve {
namespace {

absl::Status OpenError(int error_number, const Unix::Address& address) {
  const bool is_shortage = error_number == EMFILE || error_number == ENFILE;
  // The error is the one that the socket's own descriptor would have failed
  // with.
  return ErrnoError(error_number, is_shortage ? "socket" : "connect",
                    ToString(address));
}

absl::Status NoOpenat2(const Unix::Address& address) {
  ErrorDetail detail;
  detail.reason = Reason::kOther;
  detail.error_number = ENOSYS;
  detail.address = ToString(address);
  return MakeError(
      absl::StatusCode::kUnimplemented, detail,
      absl::StrCat("connect ", detail.address,
                   ": a policy that bounds unix sockets takes openat2(2), "
                   "which is in Linux since 5.6"));
}

}  // namespace

absl::StatusOr<Descriptor> OpenSocketFile(const Unix::Address& address) {
  Descriptor file(open(address.path().c_str(), O_PATH | O_CLOEXEC));
  if (!file.is_open()) return OpenError(errno, address);
  return file;
}

absl::StatusOr<Descriptor> OpenSocketFileWithoutLinks(
    const Unix::Address& address, const std::string& resolved) {
  open_how how{};
  how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS;
  Descriptor file(static_cast<int>(
      syscall(SYS_openat2, AT_FDCWD, resolved.c_str(), &how, sizeof how)));
  if (file.is_open()) return file;
  if (errno == ENOSYS) return NoOpenat2(address);
  return OpenError(errno, address);
}

}  // namespace portreeve
