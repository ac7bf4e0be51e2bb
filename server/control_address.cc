#include "server/control_address.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "lib/descriptor.h"
#include "lib/status.h"
#include "server/address_text.h"
#include "server/uuid.h"

namespace portreeve::server {
namespace {

absl::StatusOr<Inet::Address> ToEndpoint(const TcpText& tcp) {
  std::string host = tcp.host;
  if (host.empty() || host == "*") host = "0.0.0.0";
  if (host == "localhost") host = "127.0.0.1";
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", tcp.host, "\" is neither an IP address nor localhost"));
  }
  return Inet::Address(address, static_cast<uint16_t>(tcp.port));
}

// Binds and closes again.
absl::Status ProbeTcp(const Inet::Address& address) {
  const int family = address.protocol().family();
  const Descriptor fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.is_open()) return ErrnoError(errno, "socket", ToString(address));
  const int on = 1;
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd.get(), address.data(), static_cast<socklen_t>(address.size())) !=
      0) {
    return ErrnoError(errno, "bind", ToString(address));
  }
  return absl::OkStatus();
}

// gRPC's own name for the socket of `path`: in the same directory, and not
// there yet.
std::string NameBeside(const std::string& path) {
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  return absl::StrCat(directory, ".pr-", NewUuid().substr(0, 8));
}

}  // namespace

absl::StatusOr<AnyAddress> ParseControlAddress(const std::string& text,
                                               const std::string& directory) {
  const auto parsed = ParseAddressText(text, directory);
  if (!parsed.ok()) return parsed.status();
  if (const auto* tcp = std::get_if<TcpText>(&*parsed)) {
    auto endpoint = ToEndpoint(*tcp);
    if (!endpoint.ok()) return endpoint.status();
    return AnyAddress(*std::move(endpoint));
  }
  const std::string& path = std::get<UnixText>(*parsed).path;
  if (path.size() > kMaxUnixPathBytes ||
      NameBeside(path).size() > kMaxUnixPathBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the path \"", path, "\" is too long for a unix socket"));
  }
  return AnyAddress(Unix::Address(path));
}

bool IsLocal(const AnyAddress& address) {
  const auto* inet = std::get_if<Inet::Address>(&address);
  return inet == nullptr || Unmapped(inet->address()).is_loopback();
}

ControlEndpoint::ControlEndpoint(AnyAddress address, std::string target,
                                 std::string bound_path)
    : address_(std::move(address)),
      target_(std::move(target)),
      bound_path_(std::move(bound_path)),
      selected_port_(std::make_unique<int>(0)) {}

absl::StatusOr<ControlEndpoint> ControlEndpoint::Prepare(
    const AnyAddress& address) {
  if (const auto* inet = std::get_if<Inet::Address>(&address)) {
    if (auto s = ProbeTcp(*inet); !s.ok()) return s;
    // gRPC takes "127.0.0.1:80" and "[::1]:80".
    std::string target = ToString(*inet).substr(4);
    return ControlEndpoint(address, std::move(target), "");
  }
  const std::string path = std::get<Unix::Address>(address).path();
  if (auto s = UnixSocketFile::RemoveIfDead(path); !s.ok()) return s;
  std::string bound_path = NameBeside(path);
  std::string target = absl::StrCat("unix:", bound_path);
  return ControlEndpoint(address, std::move(target), std::move(bound_path));
}

absl::Status ControlEndpoint::Publish() {
  if (bound_path_.empty()) return absl::OkStatus();
  const std::string path = std::get<Unix::Address>(address_).path();
  // Unlike rename(2), fails where another daemon was faster.
  if (link(bound_path_.c_str(), path.c_str()) != 0) {
    const int error = errno == EEXIST ? EADDRINUSE : errno;
    return ErrnoError(error, "bind", ToString(address_));
  }
  auto file = UnixSocketFile::Of(path);
  if (!file.ok()) return file.status();
  file_ = *std::move(file);
  unlink(bound_path_.c_str());
  return absl::OkStatus();
}

AnyAddress ControlEndpoint::bound() const {
  if (const auto* inet = std::get_if<Inet::Address>(&address_)) {
    return Inet::Address(inet->address(),
                         static_cast<uint16_t>(*selected_port_));
  }
  return address_;
}

void ControlEndpoint::Remove() {
  if (file_) file_->RemoveIfOurs();
  file_.reset();
}

}  // namespace portreeve::server
