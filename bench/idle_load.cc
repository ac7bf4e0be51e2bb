// Idle connections: each has carried one message and then does nothing.
#include <cstdio>
#include <cstdlib>

#include "bench/load_run.h"
#include "bench/request_client.h"

namespace portreeve::bench {

// Opens `--connections` clients, prints the result as after other work, and
// then, for each line of stdin that has a number in it, opens as many as make
// that number, and prints "open NUMBER".  All are held until stdin ends.
void RunIdle(LoadRun& run) {
  Requests requests(run);
  std::vector<std::unique_ptr<RequestClient>> clients;
  const auto open = [&](uint64_t count) {
    const size_t before = clients.size();
    OpenClients(requests, count, clients);
    for (size_t i = before; i < clients.size(); ++i) {
      requests.Allow(1);
      clients[i]->Start();
    }
    run.RunUntil([&] { return requests.busy == 0; });
  };
  run.Begin();
  open(run.options.connections);
  run.End();
  for (char line[32]; std::fgets(line, sizeof line, stdin) != nullptr;) {
    open(std::strtoull(line, nullptr, 10));
    if (run.errors() > 0) break;
    std::printf("open %zu\n", clients.size());
    std::fflush(stdout);
  }
}

}  // namespace portreeve::bench
