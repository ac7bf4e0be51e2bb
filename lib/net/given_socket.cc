#include "lib/net/given_socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace portreeve {
namespace {

constexpr char kField[] = "socket";

absl::Status Wrong(absl::string_view message) {
  return InvalidField(kField, message);
}

absl::Status Wrong(Reason reason, int error_number, absl::string_view message) {
  ErrorDetail detail;
  detail.reason = reason;
  detail.error_number = error_number;
  detail.field = kField;
  return MakeError(absl::StatusCode::kInvalidArgument, detail,
                   absl::StrCat(kField, ": ", message));
}

// Gives the value of an option, or -1 and errno.
int OptionOf(int fd, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

std::string FamilyName(int family) {
  switch (family) {
    case AF_INET:
      return "an IPv4";
    case AF_INET6:
      return "an IPv6";
    case AF_UNIX:
      return "a unix";
    default:
      return absl::StrCat("a (family ", family, ")");
  }
}

std::string TypeName(int type) {
  switch (type) {
    case SOCK_DGRAM:
      return "a datagram";
    case SOCK_SEQPACKET:
      return "a seqpacket";
    case SOCK_RAW:
      return "a raw";
    default:
      return absl::StrCat("a (type ", type, ")");
  }
}

bool IsOfKind(Inet, int family) {
  return family == AF_INET || family == AF_INET6;
}
bool IsOfKind(Unix, int family) { return family == AF_UNIX; }

// Whether it is connected, or on its way there.
bool IsConnected(Inet, int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
         (info.tcpi_state != TCP_CLOSE && info.tcpi_state != TCP_LISTEN);
}
bool IsConnected(Unix, int fd) {
  sockaddr_storage peer;
  socklen_t size = sizeof peer;
  return getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0;
}

template <AddressKind A>
absl::Status CheckSocket(int fd, GivenSocket::Use use) {
  constexpr bool kIsInet = std::is_same_v<A, Inet>;
  const int family = OptionOf(fd, SO_DOMAIN);
  if (family < 0) {
    const int error = errno;
    if (error == ENOTSOCK) {
      return Wrong(Reason::kNotASocket, error,
                   "must be a socket, but is something else");
    }
    return Wrong(Reason::kInvalidField, error, "must be an open descriptor");
  }
  if (!IsOfKind(A(), family)) {
    return Wrong(absl::StrCat("must be ", kIsInet ? "an inet" : "a unix",
                              " socket, but is ", FamilyName(family), " one"));
  }
  if (const int type = OptionOf(fd, SO_TYPE); type != SOCK_STREAM) {
    return Wrong(absl::StrCat("must be a stream socket, but is ",
                              TypeName(type), " one"));
  }
  const int protocol = OptionOf(fd, SO_PROTOCOL);
  if (kIsInet && protocol != IPPROTO_TCP) {
    return Wrong(absl::StrCat("must be a TCP socket, but is one of protocol ",
                              protocol));
  }
  if (IsConnected(A(), fd)) return Wrong("must not be connected, but is");
  if (use == GivenSocket::Use::kConnect && OptionOf(fd, SO_ACCEPTCONN) != 0) {
    return Wrong("must not be listening, but is");
  }
  return absl::OkStatus();
}

bool IsBoundTo(const Inet::Address& address) {
  return address.port() != 0 || !address.address().is_unspecified();
}
bool IsBoundTo(const Unix::Address& address) { return !address.path().empty(); }

}  // namespace

template <AddressKind A>
absl::StatusOr<GivenSocket> GivenSocket::Check(Descriptor socket, Use use) {
  const int fd = socket.get();
  if (absl::Status s = CheckSocket<A>(fd, use); !s.ok()) {
    // What is not open is not closed either: by then the number may be another
    // one's.
    if (DetailOf(s).error_number == EBADF) socket.Release();
    return s;
  }
  asio::generic::stream_protocol::endpoint endpoint;
  auto size = static_cast<socklen_t>(endpoint.capacity());
  if (getsockname(fd, endpoint.data(), &size) != 0) {
    return ErrnoError(errno, "getsockname", kField);
  }
  endpoint.resize(size);
  return GivenSocket(std::move(socket), OptionOf(fd, SO_DOMAIN),
                     OptionOf(fd, SO_ACCEPTCONN) != 0, FromEndpoint(endpoint));
}

template absl::StatusOr<GivenSocket> GivenSocket::Check<Inet>(Descriptor, Use);
template absl::StatusOr<GivenSocket> GivenSocket::Check<Unix>(Descriptor, Use);

GivenSocket::GivenSocket(Descriptor socket, int family, bool is_listening,
                         AnyAddress address)
    : socket_(std::move(socket)),
      family_(family),
      is_listening_(is_listening),
      address_(std::move(address)),
      is_bound_(
          std::visit([](const auto& a) { return IsBoundTo(a); }, address_)) {}

absl::Status GivenSocket::CheckFamilyOf(const Inet::Address& address) const {
  const int wanted = address.protocol().family();
  if (family_ == wanted) return absl::OkStatus();
  return Wrong(absl::StrCat("must be ", FamilyName(wanted), " socket for ",
                            ToString(address), ", but is ", FamilyName(family_),
                            " one"));
}

absl::StatusOr<Descriptor> GivenSocket::Take() && {
  const int fd = socket_.get();
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
      fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return ErrnoError(errno, "fcntl", kField);
  }
  return std::move(socket_);
}

}  // namespace portreeve
