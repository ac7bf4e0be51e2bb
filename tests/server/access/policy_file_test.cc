// Policy files: what is wrong with them, and where.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <string>

#include "server/access/policy.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::server {
namespace {

using ::portreeve::testing::TemporaryFolder;

// "OK", or the message.
std::string Read(const std::string& text) {
  const auto policy = Policy::FromText(text, "p");
  if (policy.ok()) return "OK";
  EXPECT_EQ(policy.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(policy.status().message());
}

struct Case {
  const char* text;
  const char* expected;
};

TEST(PolicyFileTest, SyntaxErrorsHaveTheirPlace) {
  for (const Case& c : {
           Case{"\nfoo: 1",
                "p:2:4: Message type \"portreeve.v1.Policy\" has no field "
                "named \"foo\"."},
           Case{"listen {\n  cidrs: 3\n}", "p:2:10: Expected string, got: 3"},
           Case{"listen {", "p:1:9: Expected identifier, got: "},
           Case{"}", "p:1:1: Expected identifier, got: }"},
           Case{"listen {} \n listen {}",
                "p:2:9: Non-repeated field \"listen\" is specified multiple "
                "times."},
           Case{"identities {\n role: ROLE_FOO }",
                "p:2:17: Unknown enumeration value of \"ROLE_FOO\" for field "
                "\"role\"."},
           Case{"listen { ports { first: 99999999999 } }",
                "p:1:25: Integer out of range (99999999999)"},
           Case{"unix_directories: '/a\n'",
                "p:1:22: String literals cannot cross line boundaries."},
           Case{"\x01",
                "p:1:1: Invalid control characters encountered in text."},
       }) {
    EXPECT_EQ(Read(c.text), c.expected) << c.text;
  }
}

TEST(PolicyFileTest, NetworksThatAreNone) {
  for (const char* cidr :
       {"", "x", "10.0.0.0", "10.0.0.0/", "/8", "10.0.0.0/33", "10.0.0.0/-1",
        "10.0.0/8", "10.0.0.0/8 ", " 10.0.0.0/8", "10.0.0.0/8/8", "::/129",
        "::1", "fe80::%lo/10", "example.org/8", "10.0.0.0/255.0.0.0",
        "10.0.0.0/4294967304", "10.0.0.0/0000000008"}) {
    EXPECT_EQ(Read(std::string("\nlisten {\n  cidrs: '") + cidr + "'\n}"),
              std::string("p:3:3: listen.cidrs[0]: \"") + cidr +
                  "\" is not a network like 10.0.0.0/8 or fd00::/8");
  }
  EXPECT_EQ(Read(R"(listen { cidrs: '10.0.0.0/8\000\n' })"),
            R"(p:1:10: listen.cidrs[0]: "10.0.0.0/8\x00\n" is not a network )"
            "like 10.0.0.0/8 or fd00::/8");
}

TEST(PolicyFileTest, NetworksThatAreMeantOtherwise) {
  for (const Case& c : {
           Case{"10.0.0.1/8", "10.0.0.0/8"},
           Case{"10.255.0.0/15", "10.254.0.0/15"},
           Case{"1.2.3.4/0", "0.0.0.0/0"},
           Case{"fd00::1/127", "fd00::/127"},
           Case{"fd00:ffff::/17", "fd00:8000::/17"},
       }) {
    EXPECT_EQ(Read(std::string("dial { allow { cidrs: '") + c.text + "' } }"),
              std::string("p:1:16: dial.allow.cidrs[0]: \"") + c.text +
                  "\" has bits beyond its prefix; " + c.expected +
                  " is meant?");
  }
  EXPECT_EQ(Read("dial { deny {\n cidrs: '::ffff:10.0.0.0/104' } }"),
            "p:2:2: dial.deny.cidrs[0]: \"::ffff:10.0.0.0/104\" must be "
            "written as an IPv4 network");
}

TEST(PolicyFileTest, EachOfSeveralHasItsPlace) {
  EXPECT_EQ(Read("listen {\n  cidrs: '::/0'\n  cidrs: 'x'\n}"),
            "p:3:3: listen.cidrs[1]: \"x\" is not a network like 10.0.0.0/8 or "
            "fd00::/8");
  // In one list: where the list is.
  EXPECT_EQ(Read("listen {\n  cidrs: ['::/0',\n 'x']\n}"),
            "p:2:3: listen.cidrs[1]: \"x\" is not a network like 10.0.0.0/8 or "
            "fd00::/8");
  // In one of several lists: where what they are in is.
  EXPECT_EQ(
      Read("listen {\n  cidrs: ['::/0',\n 'x']\n  cidrs: ['::1/128', 'y']\n}"),
      "p:1:1: listen.cidrs[1]: \"x\" is not a network like 10.0.0.0/8 or "
      "fd00::/8");
}

TEST(PolicyFileTest, WrongPorts) {
  for (const Case& c : {
           Case{"first: 1", "p:2:3: listen.ports[1].last: is required"},
           Case{"last: 1", "p:2:3: listen.ports[1].first: is required"},
           Case{"", "p:2:3: listen.ports[1].first: is required"},
           Case{"first: -1 last: 1",
                "p:2:11: listen.ports[1].first: must be 0-65535, but is -1"},
           Case{"first: 1\nlast: 65536",
                "p:3:1: listen.ports[1].last: must be 0-65535, but is 65536"},
           Case{"first: 80\nlast: 79",
                "p:3:1: listen.ports[1].last: must be 80-65535, but is 79"},
           Case{"first: 0 last: 0", "OK"},
           Case{"first: 0 last: 65535", "OK"},
       }) {
    const std::string text =
        std::string("listen { ports { first: 1 last: 1 }\n  ports { ") +
        c.text + " }\n}";
    EXPECT_EQ(Read(text), c.expected) << text;
  }
  EXPECT_EQ(Read("dial { allow { ports [{ first: 1 last: 2 },\n { first: 1 "
                 "last: -2 }] } }"),
            "p:2:13: dial.allow.ports[1].last: must be 0-65535, but is -2");
}

TEST(PolicyFileTest, WrongUnixDirectories) {
  for (const char* directory : {"", "run", "./run", "~/run"}) {
    EXPECT_EQ(Read(std::string("\nunix_directories: '") + directory + "'"),
              std::string("p:2:1: unix_directories[0]: \"") + directory +
                  "\" is not an absolute path");
  }
  EXPECT_EQ(Read("dial {\n allow { unix_directories: 'run' } }"),
            "p:2:10: dial.allow.unix_directories[0]: \"run\" is not an "
            "absolute path");
  EXPECT_EQ(Read(R"(unix_directories: '/run\000')"),
            "p:1:1: unix_directories[0]: must not contain a NUL byte");
}

TEST(PolicyFileTest, WrongIdentities) {
  for (const Case& c : {
           Case{"role: ROLE_ADMIN", "p:2:1: identities[1].name: is required"},
           Case{"name: '' role: ROLE_ADMIN",
                "p:2:14: identities[1].name: is required"},
           Case{"name: 'b'", "p:2:1: identities[1].role: is required"},
           Case{"name: 'b'\nrole: ROLE_UNSPECIFIED",
                "p:3:1: identities[1].role: is required"},
           Case{"name: 'b'\nrole: 7",
                "p:3:1: identities[1].role: 7 is no role"},
           Case{"role: ROLE_ADMIN\nname: 'a'",
                "p:3:1: identities[1].name: \"a\" is there twice"},
           Case{"name: 'A' role: ROLE_ADMIN", "OK"},
       }) {
    const std::string text =
        std::string(
            "identities { name: 'a' role: ROLE_VIEWER }\nidentities { ") +
        c.text + " }";
    EXPECT_EQ(Read(text), c.expected) << text;
  }
}

TEST(PolicyFileTest, UsersAndGroupsAreOnesThatThereAre) {
  for (const char* name :
       {"unix:root", "unix:@root", "unix:0", "unix:4294967294",
        "unix:@4294967294", "Unix:no-such-user", "unix"}) {
    EXPECT_EQ(Read(std::string("identities { name: '") + name +
                   "' role: ROLE_VIEWER }"),
              "OK")
        << name;
  }
  const std::string nobody =
      "expected unix:USER or unix:@GROUP, by name or "
      "number";
  const std::string no_number = " is not a number from 0 to 4294967294";
  for (const auto& [name, wrong] : {
           std::pair<std::string, std::string>{"unix:", nobody},
           {"unix:@", nobody},
           {"unix:no-such-user", "there is no user \"no-such-user\""},
           {"unix:@no-such-group", "there is no group \"no-such-group\""},
           {"unix:@@root", "there is no group \"@root\""},
           {"unix: root", "there is no user \" root\""},
           {"unix:-1", "there is no user \"-1\""},
           {"unix:uid=0", "there is no user \"uid=0\""},
           {"unix:4294967295", "4294967295" + no_number},
           {"unix:@4294967296", "4294967296" + no_number},
           {"unix:99999999999999999999", "99999999999999999999" + no_number},
       }) {
    EXPECT_EQ(Read("identities { name: 'a' role: ROLE_VIEWER }\nidentities {\n"
                   " name: '" +
                   name + "' role: ROLE_VIEWER }"),
              "p:3:2: identities[1].name: \"" + name + "\": " + wrong);
  }
  EXPECT_EQ(Read("identities { name: 'unix:root\\000x' role: ROLE_VIEWER }"),
            "p:1:14: identities[0].name: \"unix:root\\x00x\": there is no user "
            "\"root\\x00x\"");
  EXPECT_EQ(Read("identities { name: 'unix:0' role: ROLE_VIEWER }\n"
                 "identities { name: 'unix:0' role: ROLE_ADMIN }"),
            "p:2:14: identities[1].name: \"unix:0\" is there twice");
}

TEST(PolicyFileTest, FilesAreReadByTheirName) {
  const TemporaryFolder folder;
  const std::string name = folder.File("policy.txtpb");
  std::ofstream(name) << "# A comment.\nlisten {}\n";
  EXPECT_TRUE(Policy::FromFile(name).ok());
  std::ofstream(name) << "listen { ports {} }";
  EXPECT_EQ(std::string(Policy::FromFile(name).status().message()),
            name + ":1:10: listen.ports[0].first: is required");
}

TEST(PolicyFileTest, FilesThatCannotBeRead) {
  const TemporaryFolder folder;
  EXPECT_EQ(
      std::string(Policy::FromFile(folder.File("none")).status().message()),
      "open " + folder.File("none") + ": No such file or directory");
  EXPECT_EQ(std::string(Policy::FromFile(folder.path()).status().message()),
            "read " + folder.path() + ": Is a directory");
}

}  // namespace
}  // namespace portreeve::server
