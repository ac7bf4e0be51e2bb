// What the daemon takes as an address on its command line, the client takes,
// and as the same one; what the client refuses, the daemon refuses.
#include <gtest/gtest.h>

#include <cstddef>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/address.h"
#include "lib/net/address.h"
#include "portreeve/v1/connection.pb.h"
#include "portreeve/v1/listener.pb.h"
#include "server/api/convert.h"
#include "server/daemon/address_text.h"
#include "server/daemon/control_address.h"
#include "tests/texts/text_rows.h"

namespace portreeve {
namespace {

constexpr char kDirectory[] = "/home/me";

// --- What either of them makes of a text ----------------------------------

constexpr char kRefused[] = "refused";

// "HOST PORT" or the path.
std::string Shown(const v1::WhereToListen& where) {
  if (where.has_unix_socket()) return where.unix_socket().path();
  return absl::StrCat(where.inet().address(), " ", where.inet().port());
}
std::string Shown(const v1::WhereToConnect& where) {
  if (where.has_unix_socket()) return where.unix_socket().path();
  return absl::StrCat(where.inet().host(), " ", where.inet().port());
}

v1::WhereToListen ToListen(const server::AddressText& text) {
  v1::WhereToListen where;
  if (const auto* tcp = std::get_if<server::TcpText>(&text)) {
    where.mutable_inet()->set_address(tcp->host);
    where.mutable_inet()->set_port(tcp->port);
  } else {
    where.mutable_unix_socket()->set_path(
        std::get<server::UnixText>(text).path);
  }
  return where;
}
v1::WhereToConnect ToConnect(const server::AddressText& text) {
  v1::WhereToConnect where;
  if (const auto* tcp = std::get_if<server::TcpText>(&text)) {
    where.mutable_inet()->set_host(tcp->host);
    where.mutable_inet()->set_port(tcp->port);
  } else {
    where.mutable_unix_socket()->set_path(
        std::get<server::UnixText>(text).path);
  }
  return where;
}

// `is_served`: what is written properly is such an address, too, as the
// registry says of --listen and of every request.
struct DaemonsWord {
  std::string shown = kRefused;
  bool is_served = false;
};

template <typename Message>
DaemonsWord DaemonsWordOn(const std::string& text, const std::string& directory,
                          Message (*to_message)(const server::AddressText&)) {
  const auto parsed = server::ParseAddressText(text, directory);
  if (!parsed.ok()) return {};
  const Message message = to_message(*parsed);
  return {Shown(message), server::FromProto(message).ok()};
}

struct Words {
  std::string client;
  DaemonsWord daemon;
};
Words OnListening(const std::string& text,
                  const std::string& directory = kDirectory) {
  const auto client = client::ParseWhereToListen(text, directory);
  return {client.ok() ? Shown(*client) : kRefused,
          DaemonsWordOn(text, directory, &ToListen)};
}
Words OnConnecting(const std::string& text,
                   const std::string& directory = kDirectory) {
  const auto client = client::ParseWhereToConnect(text, directory);
  return {client.ok() ? Shown(*client) : kRefused,
          DaemonsWordOn(text, directory, &ToConnect)};
}

// The client may say at once what the daemon would say: that there is no such
// address.  It takes no text that the daemon does not, and none as another
// address.
bool Agree(const Words& words) {
  return words.client == kRefused ? !words.daemon.is_served
                                  : words.client == words.daemon.shown;
}

// --- The texts ------------------------------------------------------------

std::string Expected(const std::optional<std::string>& shown) {
  return shown.value_or(kRefused);
}

TEST(AddressTextsTest, BothReadThemAlike) {
  for (const AddressRow& row : ReadAddressRows()) {
    SCOPED_TRACE(row.text);
    const Words on_listening = OnListening(row.text);
    EXPECT_EQ(on_listening.client, Expected(row.listens));
    EXPECT_TRUE(Agree(on_listening)) << on_listening.daemon.shown;
    const Words on_connecting = OnConnecting(row.text);
    EXPECT_EQ(on_connecting.client, Expected(row.connects));
    EXPECT_TRUE(Agree(on_connecting)) << on_connecting.daemon.shown;
  }
}

TEST(AddressTextsTest, TheControlAddressIsReadAsTheyAre) {
  int num_taken = 0;
  for (const AddressRow& row : ReadAddressRows()) {
    SCOPED_TRACE(row.text);
    const bool is_taken =
        server::ParseControlAddress(row.text, kDirectory).ok();
    if (is_taken) {
      ++num_taken;
      EXPECT_TRUE(row.listens.has_value());
      EXPECT_TRUE(client::ParseWhereToListen(row.text, kDirectory).ok());
    }
    // One that names one machine and one port is what clients are given.
    EXPECT_EQ(client::ParseServerAddress(row.text, kDirectory).ok(),
              row.connects.has_value());
  }
  EXPECT_GT(num_taken, 3);
}

// What is shown can be given back: of a file, of an abstract socket, and of a
// file that looks like one.
TEST(AddressTextsTest, WhatIsShownIsReadAsTheSame) {
  for (const AddressRow& row : ReadAddressRows()) {
    SCOPED_TRACE(row.text);
    const auto listens = client::ParseWhereToListen(row.text, kDirectory);
    if (!listens.ok()) continue;
    const auto again =
        client::ParseWhereToListen(client::ToText(*listens), kDirectory);
    ASSERT_TRUE(again.ok()) << again.status();
    if (listens->has_unix_socket()) {
      EXPECT_EQ(Shown(*again), Shown(*listens));
      EXPECT_EQ(client::ToText(*listens),
                UnixPathText(listens->unix_socket().path()));
    }
  }
  v1::WhereToListen where;
  where.mutable_unix_socket()->set_path("@x");
  EXPECT_EQ(client::ToText(where), "unix:./@x");
  EXPECT_EQ(UnixPathText("@x"), "unix:./@x");
}

TEST(AddressTextsTest, AnAbstractServerIsReachedByItsName) {
  const auto server = client::ParseServerAddress("unix:@a b", kDirectory);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(server->text, "unix:@a b");
  EXPECT_EQ(server->target, "unix-abstract:a%20b");
}

// A path is written once, be the directory the root.
TEST(AddressTextsTest, RelativePathsCountFromTheSameDirectory) {
  for (const char* directory : {"/", "/a", "/a/b c", "/a/"}) {
    for (const char* path : {"x", "./x", "../x", "/x", "x/y"}) {
      SCOPED_TRACE(absl::StrCat(directory, " ", path));
      const Words words = OnListening(absl::StrCat("unix:", path), directory);
      EXPECT_NE(words.client, kRefused);
      EXPECT_EQ(words.client, words.daemon.shown);
    }
  }
  EXPECT_EQ(OnListening("unix:x", "/").daemon.shown, "/x");
}

// Every short sequence of what addresses consist of.
TEST(AddressTextsTest, NoTextIsReadInTwoWays) {
  const std::vector<std::string> kPieces = {
      "[", "]", ":", "::1", "127.0.0.1", "h", "*", "0", "65536", " ", "/"};
  constexpr size_t kMost = 5;
  std::vector<size_t> digits;
  int num_taken = 0;
  int num_refused = 0;
  while (digits.size() <= kMost) {
    std::string rest;
    for (const size_t digit : digits) rest += kPieces[digit];
    // Without tcp: it is the same address, or refused.
    const std::string text = absl::StrCat("tcp:", rest);
    const Words on_listening = OnListening(text);
    const Words bare = OnListening(rest);
    ASSERT_TRUE(Agree(bare)) << rest << " is " << bare.daemon.shown;
    ASSERT_EQ(bare.client, on_listening.client) << rest;
    ASSERT_TRUE(Agree(on_listening)) << text << ": " << on_listening.client
                                     << " is " << on_listening.daemon.shown;
    const Words on_connecting = OnConnecting(text);
    ASSERT_TRUE(Agree(on_connecting)) << text << ": " << on_connecting.client
                                      << " is " << on_connecting.daemon.shown;
    ++(on_listening.client == kRefused ? num_refused : num_taken);
    // The next one.
    size_t at = 0;
    while (at < digits.size() && ++digits[at] == kPieces.size()) {
      digits[at++] = 0;
    }
    if (at == digits.size()) digits.push_back(0);
  }
  EXPECT_GT(num_taken, 100);
  EXPECT_GT(num_refused, 100'000);
}

}  // namespace
}  // namespace portreeve
