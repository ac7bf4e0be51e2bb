#include "server/daemon/listen_flag.h"

#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/daemon/address_text.h"

namespace portreeve::server {
namespace {

v1::WhereToListen ToWhereToListen(const AddressText& address) {
  v1::WhereToListen where;
  if (const auto* tcp = std::get_if<TcpText>(&address)) {
    where.mutable_inet()->set_address(tcp->host);
    where.mutable_inet()->set_port(tcp->port);
  } else {
    where.mutable_unix_socket()->set_path(std::get<UnixText>(address).path);
  }
  return where;
}

v1::WhereToConnect ToWhereToConnect(const AddressText& address) {
  v1::WhereToConnect where;
  if (const auto* tcp = std::get_if<TcpText>(&address)) {
    where.mutable_inet()->set_host(tcp->host);
    where.mutable_inet()->set_port(tcp->port);
  } else {
    where.mutable_unix_socket()->set_path(std::get<UnixText>(address).path);
  }
  return where;
}

// `words`: what follows the address.
absl::StatusOr<v1::Handler> ParseHandler(const std::vector<std::string>& words,
                                         const std::string& directory) {
  v1::Handler handler;
  const std::string name = words.empty() ? "" : words[0];
  if (name == "echo" && words.size() == 1) {
    handler.mutable_echo();
  } else if (name == "discard" && words.size() == 1) {
    handler.mutable_discard();
  } else if (name == "forward" && words.size() == 2) {
    const auto upstream = ParseAddressText(words[1], directory);
    if (!upstream.ok()) return upstream.status();
    *handler.mutable_forward()->mutable_upstream() =
        ToWhereToConnect(*upstream);
  } else {
    return absl::InvalidArgumentError(
        "expected \"ADDRESS echo\", \"ADDRESS discard\" or "
        "\"ADDRESS forward ADDRESS\"");
  }
  return handler;
}

}  // namespace

absl::StatusOr<v1::CreateListenerRequest> ParseListenFlag(
    const std::string& text, const std::string& directory) {
  std::vector<std::string> words =
      absl::StrSplit(text, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (words.empty()) {
    return absl::InvalidArgumentError(
        "expected \"ADDRESS HANDLER\", but it is empty");
  }
  const auto address = ParseAddressText(words[0], directory);
  if (!address.ok()) return address.status();
  words.erase(words.begin());
  auto handler = ParseHandler(words, directory);
  if (!handler.ok()) return handler.status();
  v1::CreateListenerRequest request;
  *request.mutable_spec()->mutable_where_to_listen() =
      ToWhereToListen(*address);
  *request.mutable_spec()->mutable_handler() = *std::move(handler);
  return request;
}

}  // namespace portreeve::server
