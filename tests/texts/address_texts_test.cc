// What the daemon takes as an address on its command line, the client takes,
// and as the same one; what the client refuses, the daemon refuses.
#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/address.h"
#include "portreeve/v1/connection.pb.h"
#include "portreeve/v1/listener.pb.h"
#include "server/api/convert.h"
#include "server/daemon/address_text.h"
#include "server/daemon/control_address.h"

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

// To listen at and to connect to; the second where it is another.
struct Row {
  std::string text;
  std::string listens;
  std::string connects = "";
};

const std::string kLongPath = "/" + std::string(106, 'p');

const std::vector<Row>& Rows() {
  static const std::vector<Row> kRows = {
      {"tcp:127.0.0.1:80", "127.0.0.1 80"},
      {"tcp:127.0.0.1:0", "127.0.0.1 0", kRefused},
      {"tcp:localhost:1", "localhost 1"},
      {"tcp:example.org:65535", "example.org 65535"},
      {"tcp:*:80", "* 80", kRefused},
      {"tcp::80", " 80", kRefused},
      // Brackets hold whatever stands without them, too.
      {"tcp:[::1]:80", "::1 80"},
      {"tcp:[::1]:0", "::1 0", kRefused},
      {"tcp:[::]:80", ":: 80"},
      {"tcp:[::ffff:127.0.0.1]:80", "::ffff:127.0.0.1 80"},
      {"tcp:[127.0.0.1]:0", "127.0.0.1 0", kRefused},
      {"tcp:[127.0.0.1]:80", "127.0.0.1 80"},
      {"tcp:[localhost]:80", "localhost 80"},
      {"tcp:[example.org]:80", "example.org 80"},
      {"tcp:[*]:80", "* 80", kRefused},
      {"tcp:[]:80", " 80", kRefused},
      // Scopes stay as they are written.
      {"tcp:[fe80::1%eth0]:80", "fe80::1%eth0 80"},
      {"tcp:[fe80::1%25eth0]:80", "fe80::1%25eth0 80"},
      {"tcp:[fe80::1%2]:80", "fe80::1%2 80"},
      {"tcp:fe80::1%eth0:80", kRefused},
      // Ports.
      {"tcp:127.0.0.1:065", "127.0.0.1 65"},
      {"tcp:127.0.0.1:00080", "127.0.0.1 80"},
      {"tcp:127.0.0.1:000080", kRefused},
      {"tcp:127.0.0.1:00000", "127.0.0.1 0", kRefused},
      {"tcp:127.0.0.1:000000", kRefused},
      {"tcp:127.0.0.1:65535", "127.0.0.1 65535"},
      {"tcp:127.0.0.1:65536", kRefused},
      {"tcp:127.0.0.1:99999", kRefused},
      {"tcp:127.0.0.1:4294967376", kRefused},
      {"tcp:127.0.0.1:18446744073709551696", kRefused},
      {"tcp:127.0.0.1:", kRefused},
      {"tcp:127.0.0.1:+80", kRefused},
      {"tcp:127.0.0.1:-0", kRefused},
      {"tcp:127.0.0.1:-80", kRefused},
      {"tcp:127.0.0.1: 80", kRefused},
      {"tcp:127.0.0.1:80 ", kRefused},
      {"tcp:127.0.0.1:8 0", kRefused},
      {"tcp:127.0.0.1:\t80", kRefused},
      {"tcp:127.0.0.1:80\n", kRefused},
      {"tcp:127.0.0.1:0x50", kRefused},
      {"tcp:127.0.0.1:8e1", kRefused},
      {"tcp:127.0.0.1:80.0", kRefused},
      {"tcp:127.0.0.1:http", kRefused},
      {"tcp:127.0.0.1:\xd9\xa8\xd9\xa0", kRefused},  // Digits of Arabic.
      {"tcp:127.0.0.1:80/", kRefused},
      {"tcp:[::1]:+80", kRefused},
      {"tcp:[::1]80", kRefused},
      {"tcp:[::1]: 80", kRefused},
      // Brackets and colons that are none of an address.
      {"tcp:::1:80", kRefused},
      {"tcp:::80", kRefused},
      {"tcp:a:b:80", kRefused},
      {"tcp:[::1:80", kRefused},
      {"tcp:::1]:80", kRefused},
      {"tcp:[::1]", kRefused},
      {"tcp:[:80", kRefused},
      {"tcp:]:80", kRefused},
      {"tcp:][:80", kRefused},
      {"tcp:[[::1]]:80", kRefused},
      {"tcp:a[::1]:80", kRefused},
      {"tcp:[::1]a:80", kRefused},
      {"tcp:[a]b]:80", kRefused},
      // Hosts that are none.
      {"tcp:a b:80", kRefused},
      {"tcp: :80", kRefused},
      {"tcp: 127.0.0.1:80", kRefused},
      {"tcp:127.0.0.1 :80", kRefused},
      {"tcp:[ ::1]:80", kRefused},
      {"tcp:h/x:80", kRefused},
      {"tcp://h:80", kRefused},
      {std::string("tcp:127.0.0.1\0x:80", 18), kRefused},
      {std::string("tcp:[::1\0]:80", 13), kRefused},
      // Neither kind.
      {"", kRefused},
      {" ", kRefused},
      {":", kRefused},
      {"80", kRefused},
      {"tcp", kRefused},
      {"tcp:", kRefused},
      {"tcp:80", kRefused},
      {"tcp:h", kRefused},
      {"tcp ::80", kRefused},
      {" tcp:127.0.0.1:80", kRefused},
      {"TCP:127.0.0.1:80", kRefused},
      {"udp:127.0.0.1:80", kRefused},
      {"http://h:80", kRefused},
      {"127.0.0.1:80", kRefused},
      {"[::1]:80", kRefused},
      {"/run/x", kRefused},
      // Files: what follows the colon, whatever it is.
      {"unix:/run/x.sock", "/run/x.sock"},
      {"unix:/", "/"},
      {"unix:///run/x", "///run/x"},
      {"unix:/run/../x/./y//z/", "/run/../x/./y//z/"},
      {"unix:x", "/home/me/x"},
      {"unix:./x", "/home/me/./x"},
      {"unix:../x", "/home/me/../x"},
      {"unix:~/x", "/home/me/~/x"},
      {"unix:x:80", "/home/me/x:80"},
      {"unix:tcp:h:80", "/home/me/tcp:h:80"},
      {"unix: /x", "/home/me/ /x"},
      {"unix:/x ", "/x "},
      {"unix:/a b%20%?#\\x\"'", "/a b%20%?#\\x\"'"},
      {"unix:/\xc3\xa9\n", "/\xc3\xa9\n"},
      {"unix:@x", "/home/me/@x"},  // No abstract name.
      {"unix:" + kLongPath, kLongPath},
      {"unix:" + kLongPath + "x", kLongPath + "x"},  // The daemon refuses it.
      {"unix:", kRefused},
      {"unix", kRefused},
      {"unix/x", kRefused},
      {"UNIX:/x", kRefused},
      {std::string("unix:/x\0y", 9), kRefused},
      {std::string("unix:\0x", 7), kRefused},
  };
  return kRows;
}

TEST(AddressTextsTest, BothReadThemAlike) {
  for (const Row& row : Rows()) {
    SCOPED_TRACE(row.text);
    const Words on_listening = OnListening(row.text);
    EXPECT_EQ(on_listening.client, row.listens);
    EXPECT_TRUE(Agree(on_listening)) << on_listening.daemon.shown;
    const Words on_connecting = OnConnecting(row.text);
    EXPECT_EQ(on_connecting.client,
              row.connects.empty() ? row.listens : row.connects);
    EXPECT_TRUE(Agree(on_connecting)) << on_connecting.daemon.shown;
  }
}

TEST(AddressTextsTest, TheControlAddressIsReadAsTheyAre) {
  int num_taken = 0;
  for (const Row& row : Rows()) {
    SCOPED_TRACE(row.text);
    const bool is_taken =
        server::ParseControlAddress(row.text, kDirectory).ok();
    if (is_taken) {
      ++num_taken;
      EXPECT_NE(row.listens, kRefused);
      EXPECT_TRUE(client::ParseWhereToListen(row.text, kDirectory).ok());
    }
    // One that names one machine and one port is what clients are given.
    if (is_taken && row.connects.empty()) {
      EXPECT_TRUE(client::ParseServerAddress(row.text, kDirectory).ok());
    }
  }
  EXPECT_GT(num_taken, 3);
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
    const std::string text = absl::StrCat("tcp:", rest);
    const Words on_listening = OnListening(text);
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
