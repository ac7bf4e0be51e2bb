// portreeved --listeners: the files of a directory, from the start on.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "tests/integration/cli_process.h"
#include "tests/server/plain_socket.h"
#include "tests/testing/daemon_process.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

using Words = std::vector<std::string>;

// A document of an echo listener, by default on a port of the OS.
std::string Echo(const std::string& id, const std::string& more = "",
                 const std::string& port = "0") {
  return "---\nname: " + id +
         "\nspec:\n"
         "  where_to_listen: {inet: {address: 127.0.0.1, port: " +
         port +
         "}}\n"
         "  handler: {echo: {}}\n" +
         more;
}

CliResult Ask(const DaemonProcess& daemon, Words words,
              const std::string& input = "") {
  words.insert(words.end(), {"--server", daemon.Target()});
  return RunCli(words, input);
}

// Must succeed; gives the output.
std::string Good(const DaemonProcess& daemon, const Words& words,
                 const std::string& input = "") {
  const CliResult result = Ask(daemon, words, input);
  EXPECT_EQ(result.exit_status, 0) << words.at(0) << ": " << result.notes;
  return result.output;
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

class ListenerFilesTest : public ::testing::Test {
 protected:
  ListenerFilesTest() { mkdir(Directory().c_str(), 0700); }

  std::string Directory() const { return folder_.File("listeners"); }
  std::string File(const std::string& name) const {
    return Directory() + "/" + name;
  }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(File(name)) << text;
  }
  Words Arguments(const Words& more = {}) const {
    Words all = {"--listeners", Directory()};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Words WithState() const {
    return Arguments({"--state", folder_.File("state")});
  }

  // The start must fail with one line: `error`, in which DIR is the directory.
  void ExpectRefused(std::string error, const Words& more = {}) const {
    if (const size_t at = error.find("DIR"); at != error.npos) {
      error.replace(at, 3, Directory());
    }
    DaemonProcess daemon(Arguments(more));
    EXPECT_FALSE(daemon.WaitUntilReady());
    EXPECT_EQ(daemon.WaitForExit(), 1);
    const std::string& found = daemon.error_output();
    EXPECT_EQ(std::count(found.begin(), found.end(), '\n'), 1) << found;
    EXPECT_EQ(found.rfind("portreeved: --listeners: " + error, 0), 0u)
        << found << "not:\n"
        << error;
  }

  const TemporaryFolder folder_;
};

TEST_F(ListenerFilesTest, EveryFormatServesBeforeReady) {
  Write("1.yaml", Echo("web", "  labels: {team: blue, portreeve.file: no}\n") +
                      Echo("api"));
  Write("2.json",
        R"({"listeners": [{"name": "files", "spec": {"whereToListen":)"
        R"( {"inet": {"address": "127.0.0.1"}}, "handler": {"echo": {}}}}]})");
  Write("3.textproto",
        "listeners { name: 'listeners/old' spec { where_to_listen { inet {"
        " address: '127.0.0.1' } } handler { echo {} } } }");
  Write("4.yaml~", "{");
  DaemonProcess daemon(Arguments({"--listen", "tcp:127.0.0.1:0 echo"}));
  ASSERT_TRUE(daemon.WaitUntilReady());
  const auto printed = daemon.Printed("listener listeners/");
  ASSERT_EQ(printed.size(), 5u);
  const char* const ids[] = {"web ", "api ", "files ", "old "};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(printed[i + 1].rfind(ids[i], 0), 0u) << printed[i + 1];
  }
  for (size_t i = 0; i < printed.size(); ++i) {
    PlainClient client(daemon.ListenerPort(i));
    client.Send("hello");
    EXPECT_EQ(client.Receive(), "hello");
  }
  const std::string web = Good(daemon, {"get", "web", "-o", "json"});
  EXPECT_TRUE(Has(web, R"("labels":{"portreeve.file":"1.yaml","team":"blue"})"))
      << web;
  EXPECT_TRUE(Has(web, "\"source\":\"LISTENER_SOURCE_FLAG\"")) << web;
  EXPECT_TRUE(Has(Good(daemon, {"get", "old", "-o", "json"}),
                  R"("labels":{"portreeve.file":"3.textproto"})"));
  const std::string list = Good(daemon, {"list"});
  for (const char* id : ids) EXPECT_TRUE(Has(list, id)) << list;
}

TEST_F(ListenerFilesTest, OneThatIsDeletedComesBackAndDeleteSaysSo) {
  Write("web.yaml", Echo("web"));
  {
    DaemonProcess daemon(WithState());
    ASSERT_TRUE(daemon.WaitUntilReady());
    const std::string note =
        "listeners/web comes back at the next start of the daemon, as it is in "
        "the file web.yaml of its --listeners\n";
    EXPECT_EQ(Ask(daemon, {"close", "web"}).notes, "portreeve: close: " + note);
    const CliResult deleted = Ask(daemon, {"delete", "web"});
    EXPECT_EQ(deleted.exit_status, 0);
    EXPECT_EQ(deleted.output, "listeners/web deleted\n");
    EXPECT_EQ(deleted.notes, "portreeve: delete: " + note);
    EXPECT_NE(Ask(daemon, {"get", "web"}).exit_status, 0);
    // Those of clients do not.
    Good(daemon, {"create", "mine", "--listen", "tcp:127.0.0.1:0", "--echo"});
    EXPECT_EQ(Ask(daemon, {"close", "mine"}).notes, "");
    EXPECT_EQ(Ask(daemon, {"delete", "mine"}).notes, "");
    daemon.Signal(SIGTERM);
    EXPECT_EQ(daemon.WaitForExit(), 0);
  }
  DaemonProcess again(WithState());
  ASSERT_TRUE(again.WaitUntilReady());
  EXPECT_TRUE(Has(Good(again, {"get", "web", "-o", "json"}), "LISTENING"));
}

TEST_F(ListenerFilesTest, TheFileSaysWhatAStartOpensWhateverClientsDid) {
  Write("web.yaml", Echo("web", "  max_connections: 5\n") + Echo("gone"));
  {
    DaemonProcess daemon(WithState());
    ASSERT_TRUE(daemon.WaitUntilReady());
    EXPECT_EQ(Good(daemon, {"apply", "-f", "-"},
                   Echo("web", "  max_connections: 6\n")),
              "listeners/web updated\n");
    Good(daemon, {"create", "mine", "--listen", "tcp:127.0.0.1:0", "--echo"});
    daemon.Signal(SIGKILL);
    daemon.WaitForExit();
  }
  {
    DaemonProcess daemon(WithState());
    ASSERT_TRUE(daemon.WaitUntilReady());
    EXPECT_TRUE(Has(Good(daemon, {"get", "web", "-o", "json"}),
                    "\"maxConnections\":5,"));
    EXPECT_TRUE(Has(Good(daemon, {"get", "mine", "-o", "json"}), "LISTENING"));
    daemon.Signal(SIGKILL);
    daemon.WaitForExit();
  }
  Write("web.yaml", Echo("web", "  max_connections: 7\n"));
  DaemonProcess daemon(WithState());
  ASSERT_TRUE(daemon.WaitUntilReady());
  EXPECT_TRUE(
      Has(Good(daemon, {"get", "web", "-o", "json"}), "\"maxConnections\":7,"));
  EXPECT_NE(Ask(daemon, {"get", "gone"}).exit_status, 0);
  EXPECT_EQ(daemon.Printed("state ").at(0).substr(folder_.path().size()),
            "/state: 1 listener, 0 failed");
}

TEST_F(ListenerFilesTest, TheLabelIsTheDaemonsAlone) {
  Write("web.yaml", Echo("web"));
  DaemonProcess daemon(Arguments());
  ASSERT_TRUE(daemon.WaitUntilReady());
  const std::string refused = "only the daemon sets portreeve.file";
  CliResult result =
      Ask(daemon, {"create", "mine", "--listen", "tcp:127.0.0.1:0", "--echo",
                   "--label", "portreeve.file=web.yaml"});
  EXPECT_NE(result.exit_status, 0);
  EXPECT_TRUE(Has(result.notes, refused)) << result.notes;
  Good(daemon, {"create", "mine", "--listen", "tcp:127.0.0.1:0", "--echo"});
  for (const char* id : {"web", "mine"}) {
    result = Ask(daemon, {"apply", "-f", "-"},
                 Echo(id, "  labels: {portreeve.file: other}\n"));
    EXPECT_NE(result.exit_status, 0);
    EXPECT_TRUE(Has(result.notes, refused)) << result.notes;
  }
  // What a client has read, it may say; what it leaves out stays.
  EXPECT_EQ(Good(daemon, {"apply", "-f", "-"},
                 Echo("web", "  labels: {portreeve.file: web.yaml}\n")),
            "listeners/web unchanged\n");
  EXPECT_EQ(Good(daemon, {"apply", "-f", "-"},
                 Echo("web", "  labels: {team: blue}\n")),
            "listeners/web updated\n");
  EXPECT_TRUE(Has(Good(daemon, {"get", "web", "-o", "json"}),
                  R"("labels":{"portreeve.file":"web.yaml","team":"blue"})"));
}

TEST_F(ListenerFilesTest, ExportLeavesTheLabelOutAndApplyTakesItBack) {
  Write("web.yaml", Echo("web", "  labels: {team: blue}\n") + Echo("api"));
  DaemonProcess daemon(Arguments());
  ASSERT_TRUE(daemon.WaitUntilReady());
  for (const char* format : {"yaml", "json", "textproto"}) {
    const std::string all = Good(daemon, {"export", "--format", format});
    EXPECT_TRUE(Has(all, "listeners/web")) << all;
    EXPECT_TRUE(Has(all, "team")) << all;
    EXPECT_FALSE(Has(all, "portreeve.file")) << all;
    EXPECT_EQ(Good(daemon, {"apply", "--format", format, "-f", "-"}, all),
              "listeners/api unchanged\nlisteners/web unchanged\n");
  }
}

TEST_F(ListenerFilesTest, WhatIsWrongStopsTheStart) {
  DaemonProcess other({"--listen", "tcp:127.0.0.1:0 echo"});
  ASSERT_TRUE(other.WaitUntilReady());
  const std::string taken = std::to_string(other.ListenerPort(0));
  Write("a.yaml", Echo("web", "", taken));
  ExpectRefused("DIR/a.yaml, document 1, line 2: bind tcp:127.0.0.1:" + taken +
                ": Address already in use");
  // All is read before any is opened.
  Write("b.json", "{\"name\": \"api\"}");
  ExpectRefused("DIR/b.json: spec: it is required");
  Write("b.json", "{");
  ExpectRefused("DIR/b.json: parse error at line 1");
  unlink(File("b.json").c_str());
  Write("c.yaml", Echo("web"));
  ExpectRefused(
      "DIR/c.yaml, document 1, line 2: name: listeners/web is there "
      "already: ");
  Write("c.yaml", "---\nspec: {}\n");
  ExpectRefused("DIR/c.yaml, document 1, line 2: name: it is required");
  unlink(File("c.yaml").c_str());
  ASSERT_EQ(mkfifo(File("a.fifo.yaml").c_str(), 0600), 0);
  ExpectRefused("DIR/a.fifo.yaml: it is not a regular file");
}

TEST_F(ListenerFilesTest, ADirectoryThatCannotBeReadStopsTheStart) {
  rmdir(Directory().c_str());
  ExpectRefused("DIR: No such file or directory");
}

TEST_F(ListenerFilesTest, ThePolicyBoundsThem) {
  const std::string policy = folder_.File("policy");
  std::ofstream(policy) << "listen { ports { first: 1 last: 2 } }\n";
  Write("web.yaml", Echo("web", "", "3"));
  ExpectRefused("DIR/web.yaml, document 1, line 4: spec.where_to_listen",
                {"--policy", policy});
}

TEST_F(ListenerFilesTest, AnIdOfTheStateStopsTheStart) {
  {
    DaemonProcess daemon(WithState());
    ASSERT_TRUE(daemon.WaitUntilReady());
    Good(daemon, {"create", "web", "--listen", "tcp:127.0.0.1:0", "--echo"});
    daemon.Signal(SIGTERM);
    EXPECT_EQ(daemon.WaitForExit(), 0);
  }
  Write("web.yaml", Echo("web"));
  ExpectRefused(
      "DIR/web.yaml, document 1, line 2: name: listeners/web is a listener of "
      "the state, too: name this one otherwise, or start without it and delete "
      "that one",
      {"--state", folder_.File("state")});
  // That it failed has harmed nothing.
  unlink(File("web.yaml").c_str());
  DaemonProcess daemon(WithState());
  ASSERT_TRUE(daemon.WaitUntilReady());
  EXPECT_TRUE(Has(Good(daemon, {"get", "web", "-o", "json"}), "LISTENING"));
}

}  // namespace
}  // namespace portreeve::testing
