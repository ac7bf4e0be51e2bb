// FromProto() of WhereToListen and WhereToConnect.
#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "lib/base/status.h"
#include "server/api/convert.h"
#include "server/api/errors.h"

namespace portreeve::server {
namespace {

// Gives nothing where `text` is no IP literal.
std::optional<asio::ip::address> ParseIpLiteral(const std::string& text) {
  // Asio reads up to the first NUL.
  if (text.find('\0') != std::string::npos) return std::nullopt;
  boost::system::error_code ec;
  const asio::ip::address address = asio::ip::make_address(text, ec);
  if (ec) return std::nullopt;
  return address;
}

absl::StatusOr<asio::ip::address> ParseListenAddress(const std::string& text) {
  if (text.empty() || text == "*") return asio::ip::address_v4::any();
  if (text == "localhost") return asio::ip::address_v4::loopback();
  const auto address = ParseIpLiteral(text);
  if (!address) {
    return InvalidField("address",
                        "must be an IP address, `localhost`, `*` or empty");
  }
  if (address->is_v6() && address->to_v6().is_v4_mapped()) {
    return InvalidField("address", "must be written as an IPv4 address");
  }
  return *address;
}

// Whether it is a name of the DNS as it is written in a zone: letters, digits,
// hyphens and underscores in labels of 1-63, a dot at the end or not.
bool IsHostName(absl::string_view host) {
  absl::ConsumeSuffix(&host, ".");
  const std::vector<absl::string_view> labels = absl::StrSplit(host, '.');
  return std::all_of(labels.begin(), labels.end(), [](absl::string_view label) {
    return !label.empty() && label.size() <= 63 &&
           std::all_of(label.begin(), label.end(), [](char c) {
             return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                    c == '-' || c == '_';
           });
  });
}

absl::StatusOr<WhereToListen<Inet>> FromInet(
    const v1::WhereToListen::Inet& inet) {
  WhereToListen<Inet> where;
  const auto address = ParseListenAddress(inet.address());
  if (!address.ok()) return address.status();
  where.address = *address;
  where.port = inet.port();
  if (inet.has_reuse_address()) where.reuse_address = inet.reuse_address();
  where.reuse_port = inet.reuse_port();
  where.bind_to_interface = inet.bind_to_interface();
  if (inet.dual_stack()) {
    if (!where.address.is_v6() || !where.address.is_unspecified()) {
      return InvalidField("dual_stack", "is for the address `::` only");
    }
    where.ipv6_only = false;
  }
  if (auto s = Validate(where); !s.ok()) return s;
  return where;
}

absl::StatusOr<WhereToListen<Unix>> FromUnix(
    const v1::WhereToListen::UnixSocket& unix_socket) {
  auto where = WhereToListen<Unix>::OfFile(unix_socket.path());
  if (unix_socket.has_mode()) {
    if (IsAbstract(unix_socket.path())) {
      return InvalidField("mode", "an abstract socket has no file");
    }
    where.mode = unix_socket.mode();
  }
  if (auto s = Validate(where); !s.ok()) return s;
  return where;
}

absl::Status SetSource(const v1::WhereToConnect::Inet& inet,
                       WhereToConnect<Inet>& where) {
  if (inet.bind_to_port() != 0) where.bind_to_port = inet.bind_to_port();
  if (inet.bind_to_address().empty()) return absl::OkStatus();
  where.bind_to_address = ParseIpLiteral(inet.bind_to_address());
  if (!where.bind_to_address) {
    return InvalidField("bind_to_address", "must be an IP address, or empty");
  }
  const auto host = ParseIpLiteral(inet.host());
  if (host && host->is_v4() != where.bind_to_address->is_v4()) {
    return InvalidField("bind_to_address",
                        "must be of the same family as `host`");
  }
  return absl::OkStatus();
}

absl::StatusOr<WhereToConnect<Inet>> FromInet(
    const v1::WhereToConnect::Inet& inet) {
  auto where = WhereToConnect<Inet>::OfHostAndPort(inet.host(), inet.port());
  if (auto s = SetSource(inet, where); !s.ok()) return s;
  if (auto s = Validate(where); !s.ok()) return s;
  if (!ParseIpLiteral(inet.host()) && !IsHostName(inet.host())) {
    return InvalidField("host", "must be an IP address or a host name");
  }
  return where;
}

template <typename Any, typename T>
absl::StatusOr<Any> InKind(absl::StatusOr<T> where, absl::string_view kind) {
  if (!where.ok()) return WithFieldPrefix(where.status(), kind);
  return Any(*std::move(where));
}

absl::Status NoKind() {
  return InvalidMessage("one of `inet` and `unix_socket` must be set");
}

}  // namespace

absl::StatusOr<AnyWhereToListen> FromProto(const v1::WhereToListen& where) {
  switch (where.kind_case()) {
    case v1::WhereToListen::kInet:
      return InKind<AnyWhereToListen>(FromInet(where.inet()), "inet");
    case v1::WhereToListen::kUnixSocket:
      return InKind<AnyWhereToListen>(FromUnix(where.unix_socket()),
                                      "unix_socket");
    case v1::WhereToListen::KIND_NOT_SET:
      break;
  }
  return NoKind();
}

absl::StatusOr<AnyWhereToConnect> FromProto(const v1::WhereToConnect& where) {
  switch (where.kind_case()) {
    case v1::WhereToConnect::kInet:
      return InKind<AnyWhereToConnect>(FromInet(where.inet()), "inet");
    case v1::WhereToConnect::kUnixSocket: {
      auto file = WhereToConnect<Unix>::OfFile(where.unix_socket().path());
      if (auto s = Validate(file); !s.ok()) {
        return WithFieldPrefix(s, "unix_socket");
      }
      return AnyWhereToConnect(std::move(file));
    }
    case v1::WhereToConnect::KIND_NOT_SET:
      break;
  }
  return NoKind();
}

}  // namespace portreeve::server
