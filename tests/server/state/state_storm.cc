// state_storm DIR ROUND [N]: sixteen clients change the state in DIR until
// somebody kills the process, or it kills itself before the N-th operation on
// its files.  It prints a line before each change and one for each
// answer:
//
//   I CLIENT ID VALUE SEQ ERASED   a listener and a request; VALUE `-`: erased
//   A CLIENT                       is on disk
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/check.h"
#include "server/state/state_store.h"
#include "tests/server/state/fault_vfs.h"

namespace portreeve::server {
namespace {

// One write, so that no line is cut.
void Say(const std::string& line) {
  PORTREEVE_CHECK(write(STDOUT_FILENO, line.data(), line.size()) ==
                  static_cast<ssize_t>(line.size()));
}

class Storm {
 public:
  static constexpr int kClients = 16;
  static constexpr int kIds = 4;
  static constexpr int64_t kKept = 8;  // How many requests a client leaves.

  Storm(const std::string& directory, unsigned round)
      : round_(round), random_(round) {
    auto state = OpenState(directory, "storm");
    if (!state.ok()) {
      std::fprintf(stderr, "%s\n", state.status().ToString().c_str());
      std::exit(1);
    }
    if (!state->contents.rows.requests.empty()) {
      seq_ = state->contents.rows.requests.back().seq;
    }
    for (const auto& [seq, client, record] : state->contents.rows.requests) {
      kept_[std::stoi(client)].push_back(seq);
    }
    StateStore::Owner owner;
    owner.rows = [] { return StateRows{}; };
    auto store = StateStore::Start(Executor(loop_.get_executor()),
                                   *std::move(state), std::move(owner));
    PORTREEVE_CHECK(store.ok());
    store_ = *std::move(store);
  }

  void Run() {
    for (int client = 0; client < kClients; ++client) Next(client);
    loop_.run();
  }

 private:
  void Next(int client) {
    const std::string id =
        "c" + std::to_string(client) + "-" + std::to_string(random_() % kIds);
    const bool erases = random_() % 4 == 0;
    std::string value = "-";
    std::vector<StateChange> changes;
    if (erases) {
      changes.push_back(EraseListener{id});
    } else {
      value = std::to_string(round_) + "." + std::to_string(++count_) + "." +
              std::string(random_() % 900, 'v');
      changes.push_back(ListenerRow{id, value});
    }
    const int64_t seq = ++seq_;
    changes.push_back(RequestRow{seq, std::to_string(client), value});
    int64_t erased = 0;
    std::vector<int64_t>& kept = kept_[client];
    kept.push_back(seq);
    if (kept.size() > kKept) {
      erased = kept.front();
      kept.erase(kept.begin());
      changes.push_back(EraseRequest{erased});
    }
    Say("I " + std::to_string(client) + " " + id + " " + value + " " +
        std::to_string(seq) + " " + std::to_string(erased) + "\n");
    const auto status =
        store_->Write(ChangeKind::kIntent, std::move(changes),
                      [this, client](const absl::Status& answer) {
                        PORTREEVE_CHECK(answer.ok());
                        Say("A " + std::to_string(client) + "\n");
                        Next(client);
                      });
    PORTREEVE_CHECK(status.ok());
  }

  const unsigned round_;
  std::mt19937 random_;
  asio::io_context loop_;
  int64_t seq_ = 0;
  int64_t count_ = 0;
  std::vector<int64_t> kept_[kClients];
  std::unique_ptr<StateStore> store_;
};

}  // namespace
}  // namespace portreeve::server

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  std::optional<portreeve::testing::FaultVfs> disk;
  if (argc > 3) {
    disk.emplace();
    disk->At(std::atoi(argv[3]), [] { (void)raise(SIGKILL); });
  }
  portreeve::server::Storm(argv[1], std::strtoul(argv[2], nullptr, 10)).Run();
  return 0;
}
