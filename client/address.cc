#include "client/address.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace portreeve::client {
namespace {

struct HostAndPort {
  std::string host;  // Without brackets.
  int port = 0;
};

struct Path {
  std::string path;  // Absolute; or an abstract name, after a NUL.
};

using Parsed = std::variant<HostAndPort, Path>;

absl::Status Wrong(const std::string& text, const std::string& why) {
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "': ", why,
                   "; an address is tcp:HOST:PORT, tcp:[IPV6]:PORT, "
                   "unix:/path or unix:@name; tcp: may be left out"));
}

absl::StatusOr<int> ParsePort(const std::string& text,
                              const std::string& digits) {
  if (digits.empty() ||
      !std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit)) {
    return Wrong(text, absl::StrCat("port '", digits, "' is no number"));
  }
  int port = 0;
  if (digits.size() > 5 || !absl::SimpleAtoi(digits, &port) || port > 65535) {
    return Wrong(text, absl::StrCat("port ", digits, " is not in 0-65535"));
  }
  return port;
}

// `text` is the whole, for errors; `rest` is HOST:PORT.
absl::StatusOr<HostAndPort> ParseHostAndPort(const std::string& text,
                                             const std::string& rest) {
  const size_t colon = rest.rfind(':');
  if (colon == std::string::npos) {
    return Wrong(text, "no port");
  }
  HostAndPort result;
  result.host = rest.substr(0, colon);
  if (absl::StartsWith(result.host, "[")) {
    // Whatever may stand without brackets, too, as to the daemon.
    if (!absl::EndsWith(result.host, "]")) {
      return Wrong(text, "the brackets do not hold an address");
    }
    result.host = result.host.substr(1, result.host.size() - 2);
  } else if (absl::StrContains(result.host, ":")) {
    return Wrong(text, "an IPv6 address needs brackets");
  }
  constexpr absl::string_view kOfNoHost("[]/ \0", 5);
  if (result.host.find_first_of(kOfNoHost.data(), 0, kOfNoHost.size()) !=
      std::string::npos) {
    return Wrong(text, absl::StrCat("host '", result.host, "' is no host"));
  }
  absl::StatusOr<int> port = ParsePort(text, rest.substr(colon + 1));
  if (!port.ok()) return port.status();
  result.port = *port;
  return result;
}

absl::StatusOr<Parsed> Parse(const std::string& text,
                             const std::string& directory) {
  if (absl::StartsWith(text, "tcp:")) {
    absl::StatusOr<HostAndPort> inet = ParseHostAndPort(text, text.substr(4));
    if (!inet.ok()) return inet.status();
    return *std::move(inet);
  }
  if (absl::StartsWith(text, "unix:")) {
    const std::string path = text.substr(5);
    if (path.empty()) return Wrong(text, "no path");
    if (absl::StrContains(path, '\0')) {
      return Wrong(text, "no path has a NUL byte");
    }
    if (path.front() == '@') {
      if (path.size() == 1) return Wrong(text, "no name after the @");
      return Path{absl::StrCat(std::string(1, '\0'), path.substr(1))};
    }
    // Not normalised: what the user wrote is what the daemon shows.
    return Path{(std::filesystem::path(directory) / path).string()};
  }
  if (!absl::StrContains(text, ":")) {
    return Wrong(text, "neither HOST:PORT nor unix:");
  }
  absl::StatusOr<HostAndPort> inet = ParseHostAndPort(text, text);
  if (!inet.ok()) return inet.status();
  return *std::move(inet);
}

absl::StatusOr<Parsed> ParseReachable(const std::string& text,
                                      const std::string& directory) {
  absl::StatusOr<Parsed> parsed = Parse(text, directory);
  if (!parsed.ok()) return parsed;
  if (const auto* inet = std::get_if<HostAndPort>(&*parsed)) {
    if (inet->host.empty() || inet->host == "*") {
      return Wrong(text, "nobody can connect to every address: name a host");
    }
    if (inet->port == 0) {
      return Wrong(text, "nobody can connect to port 0");
    }
  }
  return parsed;
}

std::string InetText(const std::string& host, int port) {
  const bool ipv6 = absl::StrContains(host, ":");
  return absl::StrCat("tcp:", ipv6 ? "[" : "", host, ipv6 ? "]" : "", ":",
                      port);
}

bool IsAbstract(const std::string& path) {
  return !path.empty() && path.front() == '\0';
}

std::string UnixText(const std::string& path) {
  if (IsAbstract(path)) return absl::StrCat("unix:@", path.substr(1));
  const bool looks_abstract = !path.empty() && path.front() == '@';
  return absl::StrCat("unix:", looks_abstract ? "./" : "", path);
}

// gRPC reads a target as a URI, where `%`, `?` and `#` mean something.
std::string PercentEncoded(const std::string& path) {
  std::string encoded;
  for (const char c : path) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
        absl::StrContains("/-._~", std::string(1, c))) {
      encoded += c;
    } else {
      absl::StrAppend(
          &encoded, "%",
          absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return encoded;
}

}  // namespace

absl::StatusOr<v1::WhereToListen> ParseWhereToListen(
    const std::string& text, const std::string& directory) {
  absl::StatusOr<Parsed> parsed = Parse(text, directory);
  if (!parsed.ok()) return parsed.status();
  v1::WhereToListen where;
  if (const auto* inet = std::get_if<HostAndPort>(&*parsed)) {
    where.mutable_inet()->set_address(inet->host);
    where.mutable_inet()->set_port(inet->port);
  } else {
    where.mutable_unix_socket()->set_path(std::get<Path>(*parsed).path);
  }
  return where;
}

absl::StatusOr<v1::WhereToConnect> ParseWhereToConnect(
    const std::string& text, const std::string& directory) {
  absl::StatusOr<Parsed> parsed = ParseReachable(text, directory);
  if (!parsed.ok()) return parsed.status();
  v1::WhereToConnect where;
  if (const auto* inet = std::get_if<HostAndPort>(&*parsed)) {
    where.mutable_inet()->set_host(inet->host);
    where.mutable_inet()->set_port(inet->port);
  } else {
    where.mutable_unix_socket()->set_path(std::get<Path>(*parsed).path);
  }
  return where;
}

absl::StatusOr<ServerAddress> ParseServerAddress(const std::string& text,
                                                 const std::string& directory) {
  absl::StatusOr<Parsed> parsed = ParseReachable(text, directory);
  if (!parsed.ok()) return parsed.status();
  if (const auto* inet = std::get_if<HostAndPort>(&*parsed)) {
    const std::string written = InetText(inet->host, inet->port);
    return ServerAddress{written, absl::StrCat("dns:///", written.substr(4))};
  }
  const std::string& path = std::get<Path>(*parsed).path;
  if (IsAbstract(path)) {
    return ServerAddress{
        UnixText(path),
        absl::StrCat("unix-abstract:", PercentEncoded(path.substr(1)))};
  }
  return ServerAddress{UnixText(path),
                       absl::StrCat("unix:", PercentEncoded(path))};
}

std::string ToText(const v1::Address& address) {
  switch (address.kind_case()) {
    case v1::Address::kInet:
      return InetText(address.inet().address(), address.inet().port());
    case v1::Address::kUnixSocket:
      return UnixText(address.unix_socket().path());
    case v1::Address::KIND_NOT_SET:
      break;
  }
  return "";
}

std::string ToText(const v1::WhereToListen& where) {
  switch (where.kind_case()) {
    case v1::WhereToListen::kInet:
      return InetText(where.inet().address(), where.inet().port());
    case v1::WhereToListen::kUnixSocket:
      return UnixText(where.unix_socket().path());
    case v1::WhereToListen::KIND_NOT_SET:
      break;
  }
  return "";
}

std::string ToText(const v1::WhereToConnect& where) {
  switch (where.kind_case()) {
    case v1::WhereToConnect::kInet:
      return InetText(where.inet().host(), where.inet().port());
    case v1::WhereToConnect::kUnixSocket:
      return UnixText(where.unix_socket().path());
    case v1::WhereToConnect::KIND_NOT_SET:
      break;
  }
  return "";
}

}  // namespace portreeve::client
