#include "lib/net/where.h"

#include <net/if.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace portreeve {
namespace {

absl::Status ValidatePort(const char* field, int port, int lowest) {
  if (port >= lowest && port <= 65535) return absl::OkStatus();
  return InvalidField(
      field, absl::StrCat("must be ", lowest, "-65535, but is ", port));
}

absl::Status ValidatePath(const std::string& path) {
  if (path.empty()) return InvalidField("path", "must not be empty");
  if (path.find('\0', 1) != std::string::npos) {
    return InvalidField("path", "must not contain a NUL byte");
  }
  if (IsAbstract(path) && path.size() == 1) {
    return InvalidField("path", "must have a name after the NUL byte");
  }
  if (path.size() > kMaxUnixPathBytes) {
    return InvalidField("path",
                        absl::StrCat("must be at most ", kMaxUnixPathBytes,
                                     " bytes, but has ", path.size()));
  }
  return absl::OkStatus();
}

std::string HostAndPort(const std::string& host, int port) {
  const bool is_v6 = host.find(':') != std::string::npos;
  return is_v6 ? absl::StrCat("tcp:[", host, "]:", port)
               : absl::StrCat("tcp:", host, ":", port);
}

}  // namespace

WhereToConnect<Inet> WhereToConnect<Inet>::OfHostAndPort(std::string host,
                                                         int port) {
  WhereToConnect where;
  where.host = std::move(host);
  where.port = port;
  return where;
}

WhereToConnect<Inet> WhereToConnect<Inet>::OfInetAddress(
    const Inet::Address& address) {
  return OfHostAndPort(address.address().to_string(), address.port());
}

WhereToConnect<Unix> WhereToConnect<Unix>::OfFile(std::string path) {
  WhereToConnect where;
  where.path = std::move(path);
  return where;
}

WhereToConnect<Unix> WhereToConnect<Unix>::OfUnixAddress(
    const Unix::Address& address) {
  return OfFile(address.path());
}

WhereToListen<Inet> WhereToListen<Inet>::OfPort(int port) {
  return OfAddress(asio::ip::address_v4::any(), port);
}

WhereToListen<Inet> WhereToListen<Inet>::OfPortChosenByOs() {
  return OfPort(0);
}

WhereToListen<Inet> WhereToListen<Inet>::OfLocalhost(int port) {
  return OfAddress(asio::ip::address_v4::loopback(), port);
}

WhereToListen<Inet> WhereToListen<Inet>::OfAddress(
    const asio::ip::address& address, int port) {
  WhereToListen where;
  where.address = address;
  where.port = port;
  return where;
}

WhereToListen<Unix> WhereToListen<Unix>::OfFile(std::string path) {
  WhereToListen where;
  where.path = std::move(path);
  return where;
}

bool IsDualStack(const WhereToListen<Inet>& where) {
  return !where.ipv6_only && where.address.is_v6() &&
         where.address.is_unspecified();
}

absl::Status Validate(const WhereToConnect<Inet>& where) {
  if (where.host.empty()) return InvalidField("host", "must not be empty");
  // The longest name of the DNS is 253 bytes.
  if (where.host.size() > 253) {
    return InvalidField("host", "must be at most 253 bytes");
  }
  if (where.host.find('\0') != std::string::npos) {
    return InvalidField("host", "must not contain a NUL byte");
  }
  if (auto s = ValidatePort("port", where.port, 1); !s.ok()) return s;
  if (where.bind_to_port) {
    return ValidatePort("bind_to_port", *where.bind_to_port, 1);
  }
  return absl::OkStatus();
}

absl::Status Validate(const WhereToConnect<Unix>& where) {
  return ValidatePath(where.path);
}

absl::Status Validate(const WhereToListen<Inet>& where) {
  if (auto s = ValidatePort("port", where.port, 0); !s.ok()) return s;
  if (where.bind_to_interface.size() >= IFNAMSIZ) {
    return InvalidField(
        "bind_to_interface",
        absl::StrCat("must be at most ", IFNAMSIZ - 1, " bytes"));
  }
  if (where.bind_to_interface.find('\0') != std::string::npos) {
    return InvalidField("bind_to_interface", "must not contain a NUL byte");
  }
  return absl::OkStatus();
}

absl::Status Validate(const WhereToListen<Unix>& where) {
  if (where.mode < 0 || where.mode > 0777) {
    return InvalidField("mode", "must be 0-0777 (octal)");
  }
  return ValidatePath(where.path);
}

std::string ToString(const WhereToConnect<Inet>& where) {
  return HostAndPort(where.host, where.port);
}
std::string ToString(const WhereToConnect<Unix>& where) {
  return UnixPathText(where.path);
}
std::string ToString(const WhereToListen<Inet>& where) {
  return HostAndPort(where.address.to_string(), where.port);
}
std::string ToString(const WhereToListen<Unix>& where) {
  return UnixPathText(where.path);
}

}  // namespace portreeve
