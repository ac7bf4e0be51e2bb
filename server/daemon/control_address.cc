#include "server/daemon/control_address.h"

#include <cstdlib>
#include <set>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "server/access/system_accounts.h"
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

// Parses what stands before the query.
absl::StatusOr<AnyAddress> ParseAddress(const std::string& text,
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

bool HasFile(const AnyAddress& address) {
  const auto* name = std::get_if<Unix::Address>(&address);
  return name != nullptr && !IsAbstract(name->path());
}

absl::Status SetMode(const std::string& value, ControlAddress& control) {
  const bool is_octal = value.find_first_not_of("01234567") == value.npos;
  const bool is_mode =
      value.size() == 3 || (value.size() == 4 && value.front() == '0');
  if (!is_octal || !is_mode) {
    return absl::InvalidArgumentError(absl::StrCat(
        "mode: \"", value, "\" is not octal, 0000 to 0777, like 0660"));
  }
  control.mode = static_cast<int>(std::strtol(value.c_str(), nullptr, 8));
  return absl::OkStatus();
}

absl::Status SetGroup(const std::string& value, ControlAddress& control) {
  if (value.empty()) {
    return absl::InvalidArgumentError(
        "group: expected the name of a group, or its number");
  }
  if (const auto number = AccountNumber(value); !number.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("group: ", number.status().message()));
  }
  control.group = value;
  return absl::OkStatus();
}

// Reads "mode=0660&group=portreeve".
absl::Status SetRights(const std::string& query, ControlAddress& control) {
  std::set<std::string> keys;
  for (const absl::string_view part : absl::StrSplit(query, '&')) {
    const size_t equals = part.find('=');
    const std::string key(part.substr(0, equals));
    const std::string value(equals == part.npos ? "" : part.substr(equals + 1));
    if (key != "mode" && key != "group") {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", key,
                       "\" is no key: there are mode and group, as in "
                       "unix:PATH?mode=0660&group=NAME"));
    }
    if (!keys.insert(key).second) {
      return absl::InvalidArgumentError(key + ": is there twice");
    }
    const absl::Status set =
        key == "mode" ? SetMode(value, control) : SetGroup(value, control);
    if (!set.ok()) return set;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ControlAddress> ParseControlAddress(
    const std::string& text, const std::string& directory) {
  const size_t mark = text.find('?');
  auto address = ParseAddress(text.substr(0, mark), directory);
  if (!address.ok()) return address.status();
  ControlAddress control{*std::move(address)};
  if (mark == text.npos) return control;
  if (!HasFile(control.address)) {
    return absl::InvalidArgumentError(
        "what follows the ? is for the file of a unix socket, and there is "
        "none here");
  }
  if (auto s = SetRights(text.substr(mark + 1), control); !s.ok()) return s;
  return control;
}

bool IsLocal(const AnyAddress& address) {
  const auto* inet = std::get_if<Inet::Address>(&address);
  return inet == nullptr || Unmapped(inet->address()).is_loopback();
}

}  // namespace portreeve::server
