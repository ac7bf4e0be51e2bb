// --config, through ParseFlags().
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "server/daemon/config_file.h"
#include "server/daemon/flags.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::server {
namespace {

using Words = std::vector<std::string>;
using Parsed = absl::StatusOr<std::variant<Flags, Information>>;

class ConfigFlagsTest : public ::testing::Test {
 protected:
  std::string File() const { return folder_.File("conf"); }
  void Write(const std::string& text) const {
    std::ofstream(File(), std::ios::binary) << text;
  }

  Parsed Parse(Words words) const {
    words.insert(words.begin(), "portreeved");
    std::vector<const char*> pointers;
    for (const std::string& word : words) pointers.push_back(word.c_str());
    return ParseFlags(static_cast<int>(pointers.size()), pointers.data(),
                      "/srv/dir");
  }
  Parsed WithFile(const Words& more = {}) const {
    Words words = {"--config", File()};
    words.insert(words.end(), more.begin(), more.end());
    return Parse(words);
  }

  Flags Good(const std::string& text, const Words& more = {}) const {
    Write(text);
    const Parsed parsed = WithFile(more);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    return parsed.ok() ? std::get<Flags>(*parsed) : Flags();
  }
  // The error, which is one line; in it the file is FILE.
  std::string Error(const Parsed& parsed) const {
    EXPECT_FALSE(parsed.ok());
    const std::string message(parsed.status().message());
    EXPECT_EQ(message.find('\n'), message.npos) << message;
    return absl::StrReplaceAll(message, {{File(), "FILE"}});
  }
  std::string Bad(const std::string& text, const Words& more = {}) const {
    Write(text);
    return Error(WithFile(more));
  }

  const testing::TemporaryFolder folder_;
};

Words Controls(const Flags& flags) {
  Words texts;
  for (const auto& a : flags.control) texts.push_back(ToString(a));
  return texts;
}

Words Listens(const Flags& flags) {
  Words texts;
  for (const auto& listen : flags.listen) texts.push_back(listen.text);
  return texts;
}

TEST_F(ConfigFlagsTest, ALineIsAFlagOfTheCommandLine) {
  const Flags flags = Good(
      "# What every daemon has here.\n"
      "control tcp:127.0.0.1:1\n"
      "--control unix:c  # counts from the directory, too\n"
      "listen = \"tcp:*:80 echo\"\n"
      "listen='unix:/d discard'\n"
      "drain=1m\n"
      "--loops=3\n"
      "tls-cert c\ntls-key k\ntls-client-ca a\n"
      "policy /p\n"
      "audit log\n"
      "state s\n"
      "require-listeners\n"
      "log-format json\nlog-level debug\n"
      "listeners l\n"
      "max-control-connections 7\n"
      "max-control-memory 2MiB\n");
  EXPECT_EQ(Controls(flags), (Words{"tcp:127.0.0.1:1", "unix:/srv/dir/c"}));
  EXPECT_TRUE(flags.has_control);
  EXPECT_EQ(Listens(flags), (Words{"tcp:*:80 echo", "unix:/d discard"}));
  EXPECT_EQ(flags.drain, std::chrono::minutes(1));
  EXPECT_EQ(flags.loops, 3);
  EXPECT_EQ(flags.tls, (TlsFiles{"/srv/dir/c", "/srv/dir/k", "/srv/dir/a"}));
  EXPECT_EQ(flags.policy, "/p");
  EXPECT_EQ(flags.audit, "/srv/dir/log");
  EXPECT_EQ(flags.state, "/srv/dir/s");
  EXPECT_TRUE(flags.require_listeners);
  EXPECT_EQ(flags.log_format, LogFormat::kJson);
  EXPECT_EQ(flags.log_level, LogLevel::kDebug);
  EXPECT_EQ(flags.listeners, "/srv/dir/l");
  EXPECT_EQ(flags.max_control_connections, 7);
  EXPECT_EQ(flags.max_control_memory, 2 << 20);
}

TEST_F(ConfigFlagsTest, AnEmptyFileChangesNothing) {
  for (const char* text : {"", "\n\n", "# nothing"}) {
    const Flags flags = Good(text, {"--drain", "1s"});
    EXPECT_FALSE(flags.has_control);
    EXPECT_EQ(Controls(flags), Words{"tcp:127.0.0.1:50051"});
    EXPECT_EQ(flags.drain, std::chrono::seconds(1));
  }
}

TEST_F(ConfigFlagsTest, AFlagOfTheCommandLineReplacesAllItsLines) {
  const std::string file =
      "control unix:/a\ncontrol unix:/b\ndrain 1s\n"
      "control tcp:*:1\ninsecure\nlisten 'tcp::1 echo'\n";
  EXPECT_EQ(Controls(Good(file)),
            (Words{"unix:/a", "unix:/b", "tcp:0.0.0.0:1"}));
  const Flags flags = Good(file, {"--control=unix:/c", "--drain", "2s"});
  EXPECT_EQ(Controls(flags), Words{"unix:/c"});
  EXPECT_EQ(flags.drain, std::chrono::seconds(2));
  EXPECT_TRUE(flags.insecure);
  EXPECT_EQ(Listens(flags), Words{"tcp::1 echo"});
  EXPECT_FALSE(Good("insecure", {"--insecure=false"}).insecure);
  EXPECT_TRUE(Good("insecure=false", {"--insecure"}).insecure);
  EXPECT_TRUE(Good("insecure = true").insecure);
  // What is replaced is not asked what it means.
  EXPECT_EQ(Good("drain soon", {"--drain", "2s"}).drain,
            std::chrono::seconds(2));
  // The order of the words says nothing.
  Write(file);
  const Parsed before = Parse({"--drain", "3s", "--config", File()});
  ASSERT_TRUE(before.ok());
  EXPECT_EQ(std::get<Flags>(*before).drain, std::chrono::seconds(3));
}

TEST_F(ConfigFlagsTest, AnErrorNamesFileLineAndFlag) {
  const struct {
    const char* line;
    const char* error;
  } cases[] = {
      {"lisen 'tcp::1 echo'",
       "there is no flag --lisen; did you mean --listen? (see --help)"},
      {"-x", "there is no flag -x (see --help)"},
      {"[daemon]", "there is no flag --[daemon] (see --help)"},
      {"control", "--control: its value is missing"},
      {"control # tcp::1", "--control: its value is missing"},
      {"control =", "--control: there is no value behind the ="},
      {"control x", "--control \"x\": \"x\" is no address"},
      {"control tcp:*:1", "--control \"tcp:*:1\": other machines reach"},
      {"control [a,b]", "--control \"[a,b]\": "},
      {"control []", "--control \"[]\": "},
      {"listen []", "--listen \"[]\": "},
      {"control \"\"", "--control \"\": "},
      {"listen tcp:*:80 echo",
       "--listen: a flag has one value; one with blanks in it stands in "
       "quotes"},
      {"listen 'tcp:*:80'", "--listen \"tcp:*:80\": "},
      {"drain -1s", "--drain \"-1s\": expected a duration"},
      {"drain --loops", "--drain \"--loops\": expected a duration"},
      {"loops 0", "--loops \"0\": expected a number from 1 to 256"},
      {"log-level loud", "--log-level \"loud\": expected debug, "},
      {"log-format \"\"", "--log-format \"\": expected text or json"},
      {"max-control-connections 0", "--max-control-connections \"0\": "},
      {"max-control-memory 1", "--max-control-memory \"1\": expected a size"},
      {"policy ''", "--policy \"\": expected a file"},
      {"listeners = ''", "--listeners \"\": expected a directory"},
      {"tls-key k", "--tls-cert, --tls-key and --tls-client-ca: all three"},
      {"require-listeners", "--require-listeners: there is nothing"},
      {"insecure=maybe", "Could not convert: --insecure = maybe"},
      {"insecure ''", "--insecure: its value is missing"},
      {"config /other", "--config: it is for the command line only"},
      {"config", "--config: it is for the command line only"},
      {"help", "--help: it is for the command line only"},
      {"-h", "-h: it is for the command line only"},
      {"version", "--version: it is for the command line only"},
      {"\xff", "it is not UTF-8"},
  };
  for (const auto& [line, error] : cases) {
    const std::string found = Bad(absl::StrCat("# A comment.\n\n", line, "\n"));
    EXPECT_EQ(found.rfind(absl::StrCat("FILE:3: ", error), 0), 0u)
        << found << ", not " << error;
  }
}

TEST_F(ConfigFlagsTest, TheLineIsTheOneOfTheValueThatIsWrong) {
  EXPECT_EQ(Bad("control unix:/a\ncontrol tcp:1\ncontrol unix:/b\n")
                .rfind("FILE:2: --control \"tcp:1\"", 0),
            0u);
  EXPECT_EQ(Bad("policy a\ncontrol unix:/a\npolicy b\n"),
            "FILE:3: --policy: it is there already, in line 1");
  EXPECT_EQ(Bad("insecure\ninsecure\n"),
            "FILE:2: --insecure: it is there already, in line 1");
  EXPECT_EQ(Bad("\ntls-client-ca a\n", {"--tls-cert=c"}),
            "FILE:2: --tls-cert, --tls-key and --tls-client-ca: all three are "
            "needed, or none");
  EXPECT_EQ(
      Bad("insecure\n", {"--tls-cert=c", "--tls-key=k", "--tls-client-ca=a"}),
      "FILE:1: --insecure: contradicts --tls-cert; give one of them");
  // The command line's own errors name no line.
  EXPECT_EQ(Bad("control unix:/a\n", {"--loops", "0"}),
            "--loops \"0\": expected a number from 1 to 256");
  EXPECT_EQ(Bad("control unix:/a\n", {"--control", "x"})
                .rfind("--control \"x\": ", 0),
            0u);
}

TEST_F(ConfigFlagsTest, WhatDoesNotShowIsEscaped) {
  EXPECT_EQ(Bad("drain 1s\xe2\x80\xae\n")
                .rfind("FILE:1: --drain \"1s\\u202e\": expected", 0),
            0u);
  EXPECT_EQ(Bad("drain\xe2\x80\xae 1s\n"),
            "FILE:1: there is no flag --drain\\u202e; did you mean --drain? "
            "(see --help)");
}

TEST_F(ConfigFlagsTest, RefusesWhatIsNoFile) {
  EXPECT_EQ(Error(WithFile()), "--config \"FILE\": No such file or directory");
  EXPECT_EQ(Error(Parse({"--config", ""})), "--config \"\": expected a file");
  EXPECT_EQ(Error(Parse({"--config"})).rfind("--config", 0), 0u);
  EXPECT_EQ(Error(Parse({"--config", "conf"})),
            "--config \"/srv/dir/conf\": No such file or directory");
  Write("");
  EXPECT_EQ(Error(WithFile({"--config", File()})).rfind("--config", 0), 0u);
  ASSERT_EQ(unlink(File().c_str()), 0);
  // Opening it for reading would wait for who writes.
  ASSERT_EQ(mkfifo(File().c_str(), 0600), 0);
  EXPECT_EQ(Error(WithFile()), "--config \"FILE\": it is not a regular file");
  ASSERT_EQ(unlink(File().c_str()), 0);
  ASSERT_EQ(mkdir(File().c_str(), 0700), 0);
  EXPECT_EQ(Error(WithFile()), "--config \"FILE\": it is not a regular file");
  ASSERT_EQ(rmdir(File().c_str()), 0);
  EXPECT_EQ(Error(Parse({"--config", "/dev/zero"})),
            "--config \"/dev/zero\": it is not a regular file");
}

TEST_F(ConfigFlagsTest, AFileHasAtMostAMebibyte) {
  std::string text = "drain 1s\n#";
  text.resize(kMaxConfigBytes, 'x');
  EXPECT_EQ(Good(text).drain, std::chrono::seconds(1));
  EXPECT_EQ(Bad(text + "x"),
            "--config \"FILE\": it has more than 1048576 bytes");
  // A gigabyte, of which nothing is on disk.
  ASSERT_EQ(truncate(File().c_str(), off_t{1} << 30), 0);
  EXPECT_EQ(Error(WithFile()),
            "--config \"FILE\": it has more than 1048576 bytes");
}

// Whoever asks for them is answered, whatever becomes of the file.
TEST_F(ConfigFlagsTest, HelpAndVersionDoNotReadTheFile) {
  for (const char* flag : {"--help", "-h", "--version"}) {
    const Parsed parsed = WithFile({flag});
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_TRUE(std::holds_alternative<Information>(*parsed));
  }
}

}  // namespace
}  // namespace portreeve::server
