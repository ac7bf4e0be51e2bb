#include "server/http/host_names.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "lib/base/asio.h"

namespace portreeve::server {
namespace {

bool IsPort(std::string_view text) {
  return text.size() <= 5 && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isdigit(static_cast<unsigned char>(c));
         });
}

// Gives `host` without its port; nothing where that is none.
std::optional<std::string_view> WithoutPort(std::string_view host) {
  const bool is_v6 = !host.empty() && host.front() == '[';
  const size_t end = is_v6 ? host.find(']') : host.find(':');
  if (end == host.npos) {
    if (is_v6) return std::nullopt;
    return host;
  }
  const size_t size = is_v6 ? end + 1 : end;
  const std::string_view rest = host.substr(size);
  if (!rest.empty() && (rest.front() != ':' || !IsPort(rest.substr(1)))) {
    return std::nullopt;
  }
  return host.substr(0, size);
}

bool IsLiteral(std::string_view name) {
  boost::system::error_code error;
  if (name.size() >= 2 && name.front() == '[') {
    (void)asio::ip::make_address_v6(name.substr(1, name.size() - 2), error);
  } else {
    (void)asio::ip::make_address_v4(name, error);
  }
  return !error;
}

bool Matches(std::string_view name, std::string_view pattern) {
  if (absl::StartsWith({pattern.data(), pattern.size()}, "*.")) {
    const size_t dot = name.find('.');
    if (dot == 0 || dot == name.npos) return false;
    name.remove_prefix(dot);
    pattern.remove_prefix(1);
  }
  return absl::EqualsIgnoreCase({name.data(), name.size()},
                                {pattern.data(), pattern.size()});
}

}  // namespace

bool IsOwnHost(std::string_view host, const std::vector<std::string>& names) {
  const auto name = WithoutPort(host);
  if (!name || name->empty()) return false;
  if (IsLiteral(*name) || Matches(*name, "localhost")) return true;
  return std::any_of(
      names.begin(), names.end(),
      [&](const std::string& pattern) { return Matches(*name, pattern); });
}

}  // namespace portreeve::server
