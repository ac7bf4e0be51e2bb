#include "server/daemon/control_address.h"

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "server/daemon/address_text.h"

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
  if (path.size() > kMaxUnixPathBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is too long for a unix socket"));
  }
  return AnyAddress(Unix::Address(path));
}

bool IsLocal(const AnyAddress& address) {
  const auto* inet = std::get_if<Inet::Address>(&address);
  return inet == nullptr || Unmapped(inet->address()).is_loopback();
}

}  // namespace portreeve::server
