// An echo server on Portreeve's library: no daemon, no gRPC.  SIGTERM or SIGINT
// closes it; it ends once its last client has left.
#include <array>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "lib/serve/server.h"

using namespace portreeve;

// Serves one client.  A peer that does not read holds up its own reads only.
Task<> Echo(Inet::Address, Reader& reader, Writer& writer) {
  std::array<char, 4096> buffer;
  while (const size_t size = co_await reader.Read(buffer)) {
    writer.Write({buffer.data(), size});
    co_await writer.Flushed().Wait();
  }
}

int main(int argc, char** argv) {
  const int port = argc > 1 ? std::atoi(argv[1]) : 0;  // 0: the OS's choice.
  asio::io_context loop;
  const auto server = Server<Inet>::Create(
      loop.get_executor(), WhereToListen<Inet>::OfLocalhost(port),
      IgnoreHandlerError(), Echo);  // No client closes the port of all.
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", server.status().ToString().c_str());
    return 1;
  }
  const auto say = [](const std::string& line) {
    std::puts(line.c_str());
    std::fflush(stdout);
  };
  say("listening on port " + std::to_string((*server)->listening_on()));

  asio::signal_set signals(loop, SIGINT, SIGTERM);
  signals.async_wait([&](error_code, int) {
    signals.clear();  // A second one ends the process at once.
    (*server)->Close();
    (*server)->close_finished().Upon([&] { say("closed"); });
  });
  loop.run();  // Returns once the server is closed and its handlers have ended.
  say("no client is left");
}
