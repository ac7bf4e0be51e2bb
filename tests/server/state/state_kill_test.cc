// kill -9 at any moment of a storm of changes: what was answered is there, and
// of what was not, each change is there as a whole or not at all.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <random>
#include <sstream>
#include <string>

#include "server/state/database.h"
#include "tests/server/state/state_files.h"

namespace portreeve::server {
namespace {

struct ClientState {
  std::map<std::string, std::string> listeners;
  std::map<int64_t, std::string> requests;

  friend bool operator==(const ClientState&, const ClientState&) = default;
};

struct Client {
  ClientState answered;
  std::optional<ClientState> asked;  // The same with a change not answered.
};

class StateKillTest : public ::testing::Test {
 protected:
  // Runs a storm, and kills it once it has said `after` times that something is
  // on disk; or has it kill itself before that operation on its files.
  enum class Who { kWe, kItself };
  void RunAndKill(unsigned round, Who who, int after) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const std::string number = std::to_string(round);
    const std::string at = std::to_string(after);
    int answers = 0;
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      dup2(ends[1], STDOUT_FILENO);
      close(ends[0]);
      close(ends[1]);
      const char* const storm = std::getenv("STORM");
      execl(storm, storm, directory_.path().c_str(), number.c_str(),
            who == Who::kItself ? at.c_str() : nullptr, nullptr);
      _exit(127);
    }
    close(ends[1]);
    FILE* const lines = fdopen(ends[0], "r");
    char line[2000];
    // What is in the pipe when it dies was said, too.
    while (std::fgets(line, sizeof line, lines) != nullptr) {
      Note(line);
      if (line[0] == 'A' && ++answers == after && who == Who::kWe) {
        ASSERT_EQ(kill(pid, SIGKILL), 0);
      }
    }
    std::fclose(lines);
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  }

  void Note(const std::string& line) {
    ASSERT_EQ(line.back(), '\n');
    std::istringstream words(line);
    std::string kind;
    int number = 0;
    words >> kind >> number;
    Client& client = clients_[number];
    if (kind == "A") {
      ASSERT_TRUE(client.asked.has_value()) << line;
      client.answered = *std::move(client.asked);
      client.asked.reset();
      ++num_answers_;
      return;
    }
    std::string id;
    std::string value;
    int64_t seq = 0;
    int64_t erased = 0;
    words >> id >> value >> seq >> erased;
    client.asked = client.answered;
    client.asked->listeners[id] = value;
    if (value == "-") client.asked->listeners.erase(id);
    client.asked->requests[seq] = value;
    client.asked->requests.erase(erased);
  }

  void Compare() {
    const auto database = Database::Open(directory_.path(), "test");
    ASSERT_TRUE(database.ok()) << database.status();
    const auto contents = (*database)->Read();
    ASSERT_TRUE(contents.ok()) << contents.status();
    EXPECT_FALSE(contents->clean);
    std::map<int, ClientState> found;
    for (const auto& [id, record] : contents->rows.listeners) {
      found[std::atoi(id.c_str() + 1)].listeners[id] = record;
    }
    for (const auto& [seq, client, record] : contents->rows.requests) {
      found[std::stoi(client)].requests[seq] = record;
    }
    for (auto& [number, client] : clients_) {
      if (found[number] == client.answered) {
        num_lost_ += client.asked.has_value();
      } else {
        ASSERT_TRUE(client.asked && found[number] == *client.asked)
            << "client " << number;
        ++num_kept_;
      }
      client.answered = found[number];
      client.asked.reset();
    }
    EXPECT_EQ(found.size(), clients_.size());
  }

  const testing::TemporaryDirectory directory_;
  std::map<int, Client> clients_;
  int64_t num_answers_ = 0;
  // Changes that were not answered,
  int num_lost_ = 0;  // and are not there;
  int num_kept_ = 0;  // and are.
};

TEST_F(StateKillTest, LosesNothingThatWasAnswered) {
  const int rounds = std::atoi(std::getenv("ROUNDS"));
  ASSERT_GT(rounds, 0);
  std::mt19937 random(7);
  for (int round = 0; round < rounds; ++round) {
    // A start takes some 20 operations.
    const int after = 1 + static_cast<int>(random() % 1000);
    RunAndKill(static_cast<unsigned>(round),
               round % 2 == 0 ? Who::kWe : Who::kItself, after);
    if (HasFatalFailure()) return;
    Compare();
    if (HasFailure()) return;
  }
  std::printf(
      "%d rounds: %lld answers, none lost; of others %d are there and "
      "%d are not\n",
      rounds, static_cast<long long>(num_answers_), num_kept_, num_lost_);
  EXPECT_GT(num_lost_ + num_kept_, 0) << "no kill came during a change";
}

}  // namespace
}  // namespace portreeve::server
