// `portreeve state`, the program, with states as daemons leave them.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "server/state/state_directory.h"
#include "tests/integration/cli_process.h"
#include "tests/server/state/state_files.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

class CliStateTest : public ::testing::Test {
 protected:
  CliStateTest() {
    auto database = server::Database::Open(directory_.path(), "1.0");
    EXPECT_TRUE(database.ok() && (*database)->Read().ok());
    EXPECT_TRUE((*database)->Commit(ChangesOf(RecordedRows(3, 1))).ok());
    EXPECT_TRUE((*database)->End().ok());
    EXPECT_TRUE((*database)->Close().ok());
  }
  void Damage() {
    RunSql(directory_.database(),
           "UPDATE listeners SET crc=1 WHERE id='l0001'");
  }

  CliResult State(std::vector<std::string> words) const {
    words.insert(words.begin(), "state");
    return RunCli(words);
  }

  const TemporaryDirectory directory_;
  const std::string& path_ = directory_.path();
};

TEST_F(CliStateTest, ChecksRepairsAndCopies) {
  CliResult result = State({"check", path_});
  EXPECT_EQ(result.exit_status, 0) << result.notes;
  EXPECT_EQ(result.output, "sound: 3 listeners, 1 request\n");
  Damage();
  result = State({"check", path_});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_EQ(result.output,
            "listeners/l0001: its checksum is wrong\n"
            "meta/listeners: more or fewer than it says check\n"
            "damaged: 2 listeners, 1 request check; portreeve state repair " +
                path_ + " keeps them\n");
  EXPECT_EQ(result.notes, "");
  const std::string backup = path_ + "/backup";
  result = State({"backup", path_, backup});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_EQ(result.output, "");
  EXPECT_NE(result.notes.find("was not copied; portreeve state repair"),
            std::string::npos)
      << result.notes;
  EXPECT_FALSE(std::filesystem::exists(backup));
  result = State({"repair", path_});
  EXPECT_EQ(result.exit_status, 0) << result.notes;
  const std::string kept =
      "repaired: 2 listeners, 1 request were kept; the damaged file is now " +
      directory_.database() + ".damaged-";
  EXPECT_NE(result.output.find(kept), std::string::npos) << result.output;
  EXPECT_EQ(result.output.find("listeners/l0001: its checksum is wrong\n"), 0u);
  result = State({"repair", path_});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(result.output,
            "sound: 2 listeners, 1 request; nothing was changed\n");
  result = State({"backup", path_, backup});
  EXPECT_EQ(result.exit_status, 0) << result.notes;
  EXPECT_EQ(result.output, "copied: 2 listeners, 1 request\n");
  const std::string bytes = ReadFile(backup);
  result = State({"backup", path_, backup});
  EXPECT_EQ(result.exit_status, 6);
  EXPECT_EQ(result.notes, "portreeve: state: " + backup +
                              ": there is such a file; choose another one\n");
  EXPECT_EQ(ReadFile(backup), bytes);
  // As OPERATIONS.md says.
  const TemporaryDirectory other;
  std::filesystem::rename(backup, other.database());
  result = State({"check", other.path()});
  EXPECT_EQ(result.output, "sound: 2 listeners, 1 request\n");
}

TEST_F(CliStateTest, DumpsWhatChecksAndNamesTheRest) {
  CliResult result = State({"dump", path_});
  EXPECT_EQ(result.exit_status, 0) << result.notes;
  EXPECT_EQ(result.output.find("# listeners/l0000\nspec {\n"), 0u)
      << result.output;
  EXPECT_EQ(result.notes, "");
  Damage();
  result = State({"dump", path_});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_EQ(result.output.find("l0001"), std::string::npos);
  EXPECT_EQ(result.notes,
            "portreeve: state: listeners/l0001: its checksum is wrong\n"
            "portreeve: state: meta/listeners: more or fewer than it says "
            "check\n");
}

TEST_F(CliStateTest, WhatCannotBeReadIsOneLine) {
  std::filesystem::remove(directory_.database());
  for (const char* action : {"check", "dump", "repair"}) {
    CliResult result = State({action, path_});
    EXPECT_EQ(result.exit_status, 2) << action;
    EXPECT_EQ(result.output, "") << action;
    EXPECT_EQ(result.notes,
              "portreeve: state: open " + directory_.database() +
                  ": No such file or directory; DIR is the directory of "
                  "portreeved's --state\n")
        << action;
  }
  WriteFile(directory_.database(), "");
  const CliResult result = State({"repair", path_});
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_EQ(result.notes, "portreeve: state: " + directory_.database() +
                              ": it is empty; nothing in it can be read: put a "
                              "backup in its place\n");
}

TEST_F(CliStateTest, ADaemonKeepsItFromBeingRepaired) {
  Damage();
  const auto taken = server::StateDirectory::Take(path_);
  ASSERT_TRUE(taken.ok());
  const CliResult result = State({"repair", path_});
  EXPECT_EQ(result.exit_status, 6);
  EXPECT_EQ(result.notes, "portreeve: state: " + path_ +
                              " is used by process " +
                              std::to_string(getpid()) + "; stop that first\n");
  EXPECT_EQ(State({"check", path_}).exit_status, 1);
}

// From a daemon's own state to its next start.
TEST(CliStateOfADaemonTest, IsCopiedBesideItAndRepairedAfterIt) {
  const TemporaryDirectory home;
  const std::string directory = home.path() + "/state";
  const std::string file = directory + "/portreeved.db";
  const std::string backup = home.path() + "/backup";
  {
    DaemonProcess daemon({"--state", directory});
    ASSERT_TRUE(daemon.WaitUntilReady());
    const auto create = [&](const char* id) {
      return RunCli({"create", id, "--listen", "tcp:127.0.0.1:0", "--echo",
                     "--request-id", id, "--server", daemon.Target()})
          .exit_status;
    };
    ASSERT_EQ(create("web"), 0);
    ASSERT_EQ(create("api"), 0);
    EXPECT_EQ(RunCli({"state", "check", directory}).output,
              "sound: 2 listeners, 2 requests\n");
    EXPECT_EQ(RunCli({"state", "dump", directory})
                  .output.find("# listeners/api\nspec {\n"),
              0u);
    EXPECT_EQ(RunCli({"state", "backup", directory, backup}).exit_status, 0);
    EXPECT_EQ(RunCli({"state", "repair", directory}).exit_status, 6);
    EXPECT_EQ(create("more"), 0);
    daemon.Signal(SIGTERM);
    EXPECT_EQ(daemon.WaitForExit(), 0);
  }
  EXPECT_EQ(RunCli({"state", "check", directory}).output,
            "sound: 3 listeners, 3 requests\n");
  RunSql(file, "UPDATE listeners SET crc=1 WHERE id='web'");
  {
    DaemonProcess daemon({"--state", directory});
    EXPECT_FALSE(daemon.WaitUntilReady());
    EXPECT_EQ(daemon.WaitForExit(), 1);
    EXPECT_NE(daemon.error_output().find(
                  file + ": listeners/web is damaged; portreeve state repair " +
                  directory + " keeps the 5 records that check\n"),
              std::string::npos)
        << daemon.error_output();
  }
  EXPECT_EQ(RunCli({"state", "repair", directory}).exit_status, 0);
  DaemonProcess repaired({"--state", directory});
  EXPECT_TRUE(repaired.WaitUntilReady());
  // The backup, as OPERATIONS.md says.
  const std::string other = home.path() + "/other";
  std::filesystem::create_directory(other);
  std::filesystem::rename(backup, other + "/portreeved.db");
  DaemonProcess restored({"--state", other});
  EXPECT_TRUE(restored.WaitUntilReady());
}

// What the environment says of a daemon has no part in it.
TEST_F(CliStateTest, AsksNoDaemonAndReadsNoCertificates) {
  const CliResult result =
      State({"check", path_, "--tls-ca", "/none", "--server", "nonsense:1"});
  EXPECT_EQ(result.exit_status, 0) << result.notes;
}

TEST_F(CliStateTest, WrongUsageIsTold) {
  const struct {
    std::vector<std::string> words;
    const char* note;
  } kCases[] = {
      {{"chek", path_}, "'chek': expected check, dump, repair or backup; did"},
      {{"check"}, "DIR is required"},
      {{"backup", path_}, "backup needs a FILE to copy to"},
      {{"check", path_, "more"}, "a FILE is for backup alone"},
      {{"check", path_, "-o", "json"}, "its answers are no JSON"},
  };
  for (const auto& [words, note] : kCases) {
    const CliResult result = State(words);
    EXPECT_EQ(result.exit_status, 2) << note;
    EXPECT_NE(result.notes.find(note), std::string::npos) << result.notes;
  }
  const CliResult help = State({"--help"});
  EXPECT_EQ(help.exit_status, 0);
  EXPECT_NE(help.output.find("Usage: portreeve state ACTION DIR [FILE]"),
            std::string::npos)
      << help.output;
}

}  // namespace
}  // namespace portreeve::testing
