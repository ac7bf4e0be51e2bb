// Request/response: each client sends its next message when the echo of the
// last one is whole.
#include "bench/load_run.h"
#include "bench/request_client.h"

namespace portreeve::bench {

void RunRequestResponse(LoadRun& run) {
  Requests requests(run);
  std::vector<std::unique_ptr<RequestClient>> clients;
  OpenClients(requests, run.options.connections, clients);
  run.Begin();
  requests.Allow(run.options.units);
  for (const auto& client : clients) client->Start();
  run.RunUntil([&] { return requests.busy == 0; });
  run.End();
}

}  // namespace portreeve::bench
