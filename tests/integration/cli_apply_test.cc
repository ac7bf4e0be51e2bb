// apply, diff and export against a real daemon.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "tests/integration/cli_process.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

using Words = std::vector<std::string>;

// A document of a listener on a port of the OS.
std::string Echo(const std::string& id, const std::string& more = "") {
  return "---\nname: " + id +
         "\nspec:\n"
         "  where_to_listen: {inet: {address: 127.0.0.1}}\n"
         "  handler: {echo: {}}\n" +
         more;
}

class CliApplyTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(daemon_.WaitUntilReady()); }

  CliResult Run(Words words, const std::string& input = "") const {
    words.insert(words.end(), {"--server", daemon_.Target()});
    return RunCli(words, input);
  }
  // The file is `text`; it must be taken.
  std::string Apply(const std::string& text, const Words& more = {}) const {
    Words words = {"apply", "-f", "-"};
    words.insert(words.end(), more.begin(), more.end());
    const CliResult result = Run(words, text);
    EXPECT_EQ(result.exit_status, 0) << result.notes;
    return result.output;
  }
  std::string Export(const std::string& format = "yaml") const {
    const CliResult result = Run({"export", "--format", format});
    EXPECT_EQ(result.exit_status, 0) << result.notes;
    return result.output;
  }
  // All listeners, with their uids; without the revision.
  std::string State() const {
    const std::string list = Run({"list", "-o", "json"}).output;
    return list.substr(0, list.find("\"nextPageToken\""));
  }

  DaemonProcess daemon_;
};

TEST_F(CliApplyTest, CreatesThenLeavesAloneThenUpdates) {
  EXPECT_EQ(Apply(Echo("web") + Echo("api")),
            "listeners/web created\nlisteners/api created\n");
  const std::string before = State();
  EXPECT_EQ(Apply(Echo("web") + Echo("api")),
            "listeners/web unchanged\nlisteners/api unchanged\n");
  EXPECT_EQ(State(), before);
  EXPECT_EQ(Apply(Echo("web", "  max_connections: 7\n") + Echo("api")),
            "listeners/web updated\nlisteners/api unchanged\n");
  EXPECT_NE(State().find("\"maxConnections\":7"), std::string::npos);
  // What the file no longer has gets its default again.
  EXPECT_EQ(Apply(Echo("web")), "listeners/web updated\n");
  EXPECT_EQ(State(), before);
}

TEST_F(CliApplyTest, ADefaultThatIsSaidIsNoDifference) {
  Apply(Echo("web"));
  EXPECT_EQ(Apply(Echo("web",
                       "  max_pending_connections: 4096\n"
                       "  on_handler_error: ON_HANDLER_ERROR_RAISE\n"
                       "  drop_incoming_connections: false\n")),
            "listeners/web unchanged\n");
}

TEST_F(CliApplyTest, DiffTellsByItsExitStatusAndChangesNothing) {
  Apply(Echo("web", "  max_connections: 5\n"));
  const std::string before = State();
  CliResult diff =
      Run({"diff", "-f", "-"}, Echo("web", "  max_connections: 5\n"));
  EXPECT_EQ(diff.exit_status, 0) << diff.notes;
  EXPECT_EQ(diff.output, "");
  diff = Run({"diff", "-f", "-"},
             Echo("web", "  max_connections: 7\n") + Echo("api"));
  EXPECT_EQ(diff.exit_status, 1) << diff.notes;
  EXPECT_EQ(diff.output,
            "listeners/web differs\n"
            "  modified: spec.max_connections: 5 -> 7\n"
            "listeners/api is missing\n");
  EXPECT_EQ(diff.notes, "");
  // An address cannot be changed, but differs.
  diff = Run({"diff", "-f", "-"},
             "{name: web, spec: {where_to_listen: {inet: {address: 127.0.0.2}},"
             " handler: {echo: {}}, max_connections: 5}}");
  EXPECT_EQ(diff.exit_status, 1) << diff.notes;
  EXPECT_NE(diff.output.find("modified: spec.where_to_listen.inet.address: "
                             "\"127.0.0.1\" -> \"127.0.0.2\"\n"),
            std::string::npos)
      << diff.output;
  EXPECT_EQ(State(), before);
}

TEST_F(CliApplyTest, ADryRunSaysWhatWouldBeAndChangesNothing) {
  Apply(Echo("web") + Echo("old", "  labels: {team: blue}\n"));
  const std::string before = State();
  EXPECT_EQ(Apply(Echo("web", "  max_connections: 7\n") + Echo("api"),
                  {"--dry-run", "--prune", "--selector", "team=blue"}),
            "listeners/old deleted (dry run)\n"
            "listeners/web updated (dry run)\n"
            "listeners/api created (dry run)\n");
  EXPECT_EQ(State(), before);
}

TEST_F(CliApplyTest, WhatExportPrintsIsUnchanged) {
  Apply(Echo("web", "  labels: {version: 1.10, country: NO}\n") +
        "---\nname: sock\nspec:\n"
        "  where_to_listen: {unix_socket: {path: \"\\0portreeve-" +
        std::to_string(getpid()) +
        "\"}}\n"
        "  handler: {forward: {upstream: {inet: {host: 127.0.0.1, port: 9}}}}\n"
        "  buffer_age_limit: {unlimited: {}}\n" +
        Echo("gone"));
  EXPECT_EQ(Run({"close", "gone"}).exit_status, 0);
  const std::string before = State();
  for (const char* format : {"yaml", "json", "textproto"}) {
    const std::string text = Export(format);
    EXPECT_EQ(Apply(text, {"--format", format}),
              "listeners/sock unchanged\nlisteners/web unchanged\n")
        << text;
    EXPECT_EQ(Run({"diff", "-f", "-", "--format", format}, text).exit_status,
              0);
  }
  EXPECT_EQ(Run({"export", "-o", "json"}).output, Export("json"));
  EXPECT_EQ(State(), before);
}

TEST_F(CliApplyTest, FilesAreFoundByTheirNames) {
  const std::string path =
      std::string(std::getenv("TEST_TMPDIR")) + "/web.json";
  std::ofstream(path) << R"({"name":"web","spec":{"handler":{"echo":{}},)"
                      << R"("whereToListen":{"inet":{"port":0}}}})";
  const CliResult applied = Run({"apply", "-f", path, "-o", "json"});
  EXPECT_EQ(applied.exit_status, 0) << applied.notes;
  EXPECT_EQ(applied.output,
            "{\"name\":\"listeners/web\",\"result\":\"created\"}\n");
  const CliResult none = Run({"apply", "-f", "/nowhere/web.yaml"});
  EXPECT_EQ(none.exit_status, 2);
  EXPECT_EQ(none.notes,
            "portreeve: apply: /nowhere/web.yaml: opening: No such file or "
            "directory\n");
}

TEST_F(CliApplyTest, PruneTakesWhatIsSelectedAndNotInTheFile) {
  const std::string blue = "  labels: {team: blue}\n";
  Apply(Echo("a", blue) + Echo("b", blue) + Echo("c", blue) + Echo("d"));
  EXPECT_EQ(Run({"close", "b"}).exit_status, 0);
  EXPECT_EQ(Apply(Echo("c", blue), {"--prune", "--selector", "team=blue"}),
            "listeners/a deleted\nlisteners/b deleted\n"
            "listeners/c unchanged\n");
  EXPECT_EQ(Apply(Export()), "listeners/c unchanged\nlisteners/d unchanged\n");
  const CliResult refused = Run({"apply", "-f", "-", "--prune"}, Echo("c"));
  EXPECT_EQ(refused.exit_status, 2);
  EXPECT_NE(refused.notes.find("--prune needs a --selector"),
            std::string::npos);
}

// So a listener can be renamed.
TEST_F(CliApplyTest, WhatIsPrunedLeavesItsAddress) {
  const std::string path =
      "\"\\0portreeve-renamed-" + std::to_string(getpid()) + "\"";
  const auto on_path = [&path](const std::string& id) {
    return "name: " + id +
           "\nspec:\n  where_to_listen: {unix_socket: {path: " + path +
           "}}\n  handler: {echo: {}}\n  labels: {team: blue}\n";
  };
  Apply(on_path("old"));
  EXPECT_EQ(Run({"apply", "-f", "-"}, on_path("new")).exit_status, 4);
  EXPECT_EQ(Apply(on_path("new"), {"--prune", "--selector", "team=blue"}),
            "listeners/old deleted\nlisteners/new created\n");
}

TEST_F(CliApplyTest, AClosedListenerIsCreatedAnew) {
  Apply(Echo("web"));
  EXPECT_EQ(Run({"close", "web"}).exit_status, 0);
  const CliResult diff = Run({"diff", "-f", "-"}, Echo("web"));
  EXPECT_EQ(diff.exit_status, 1);
  EXPECT_EQ(diff.output, "listeners/web is closed\n");
  EXPECT_EQ(Apply(Echo("web")), "listeners/web created\n");
  EXPECT_EQ(Apply(Echo("web")), "listeners/web unchanged\n");
}

TEST_F(CliApplyTest, WhatTheDaemonRefusesIsToldWithItsLineAndChangesNothing) {
  Apply(Echo("web"));
  const std::string before = State();
  const CliResult refused =
      Run({"apply", "-f", "-"},
          Echo("new") + Echo("web", "  max_connections: 0\n") + Echo("Bad") +
              Echo("api", "  max_accepts_per_batch: -1\n"));
  EXPECT_EQ(refused.exit_status, 4);
  EXPECT_EQ(refused.output, "");
  EXPECT_NE(refused.notes.find("portreeve: apply: listeners/web: "
                               "INVALID_FIELD: stdin, document 2, line 11: "
                               "spec.max_connections: "),
            std::string::npos)
      << refused.notes;
  EXPECT_NE(refused.notes.find("listeners/Bad: INVALID_FIELD: stdin, document "
                               "3, line 13: name: "),
            std::string::npos)
      << refused.notes;
  EXPECT_NE(refused.notes.find("document 4, line 22: "
                               "spec.max_accepts_per_batch: "),
            std::string::npos)
      << refused.notes;
  EXPECT_EQ(State(), before);
}

TEST_F(CliApplyTest, AnAddressThatWouldChangeIsRefused) {
  Apply(Echo("web"));
  const CliResult refused =
      Run({"apply", "-f", "-"},
          "{name: web, spec: {where_to_listen: {inet: {address: 127.0.0.2}}, "
          "handler: {echo: {}}}}");
  EXPECT_EQ(refused.exit_status, 4);
  EXPECT_EQ(refused.notes.find("portreeve: apply: listeners/web: stdin, "
                               "document 1, line 1: IMMUTABLE_FIELD: "),
            0u)
      << refused.notes;
}

TEST_F(CliApplyTest, AWrongFileAsksNothingAndChangesNothing) {
  const std::string before = State();
  for (const std::string& text :
       {std::string(), std::string("---\n"), Echo("a") + Echo("a"),
        Echo("a", "  x: 1\n"), std::string(10 << 20, '#'),
        std::string("name: \xff\n"), std::string("a: &a [*a, *a]\n"),
        Echo("a", "  max_connections: many\n")}) {
    for (const char* verb : {"apply", "diff"}) {
      const CliResult refused = Run({verb, "-f", "-"}, text);
      EXPECT_EQ(refused.exit_status, 2) << refused.notes;
      EXPECT_EQ(refused.output, "");
      EXPECT_EQ(
          refused.notes.find(std::string("portreeve: ") + verb + ": stdin"), 0u)
          << refused.notes;
    }
  }
  EXPECT_EQ(State(), before);
}

}  // namespace
}  // namespace portreeve::testing
