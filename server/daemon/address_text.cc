#include "server/daemon/address_text.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace portreeve::server {
namespace {

absl::Status Malformed(const std::string& text) {
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", text,
      "\" is no address: expected tcp:HOST:PORT, HOST:PORT, unix:PATH or "
      "unix:@NAME"));
}

// Parses `rest`, which is `text` without "tcp:".
absl::StatusOr<TcpText> ParseTcp(const std::string& text,
                                 const std::string& rest) {
  const size_t colon = rest.rfind(':');
  if (colon == std::string::npos) return Malformed(text);
  std::string host = rest.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find_first_of("[]:") != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", text, "\": an IPv6 address goes in brackets, tcp:[::1]:80"));
  }
  const std::string port = rest.substr(colon + 1);
  int number = 0;
  const bool digits = !port.empty() && port.size() <= 5 &&
                      port.find_first_not_of("0123456789") == port.npos;
  if (!digits || !absl::SimpleAtoi(port, &number) || number > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", text, "\": the port must be a number from 0 to 65535"));
  }
  return TcpText{std::move(host), number};
}

}  // namespace

absl::StatusOr<AddressText> ParseAddressText(const std::string& text,
                                             const std::string& directory) {
  if (text.find('\0') != text.npos) return Malformed(text);
  if (absl::StartsWith(text, "tcp:")) {
    auto tcp = ParseTcp(text, text.substr(4));
    if (!tcp.ok()) return tcp.status();
    return AddressText(*std::move(tcp));
  }
  if (!absl::StartsWith(text, "unix:")) {
    auto tcp = ParseTcp(text, text);
    if (!tcp.ok()) return tcp.status();
    return AddressText(*std::move(tcp));
  }
  const std::string path = text.substr(5);
  if (path.empty() || path == "@") return Malformed(text);
  if (path.front() == '@') {
    return AddressText(
        UnixText{absl::StrCat(std::string(1, '\0'), path.substr(1))});
  }
  if (path.front() == '/') return AddressText(UnixText{path});
  const bool is_divided = absl::EndsWith(directory, "/");
  return AddressText(
      UnixText{absl::StrCat(directory, is_divided ? "" : "/", path)});
}

}  // namespace portreeve::server
