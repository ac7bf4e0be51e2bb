// The load generator: load MODE --to ADDRESS:PORT [--FLAG VALUE ...]
//
// Does a fixed amount of work, so that a server's CPU time can be divided by
// it, checks every byte that comes back, and prints one JSON object:
//
//   units        that were done and right; `errors` and `first_error` say what
//                was not
//   seconds      of wall clock;  `cpu_seconds` are its own
//   latency_us   p50, p99, p999, max: of a message in `rr` and `flood`, of a
//                connection from connect(2) to the last byte of the echo in
//                `short`, of a block of 64 KiB in `bulk`
//   aborted      connections that `flood` has reset; `late` are those that it
//                should have opened and could not
//
// Modes and their units: `short` (connections), `rr` (messages), `bulk` (MiB
// there and back), `flood` (messages beside the flood), `idle` (none).
// Flags: connections, size, units, clients, period, window, timeout (numbers),
// end (fin or rst), and gate, which has no value; bench/load_run.h says what
// they are.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "bench/load_run.h"

namespace portreeve::bench {
namespace {

using Mode = void (*)(LoadRun&);

const std::map<std::string, Mode> kModes = {
    {"short", RunShort}, {"rr", RunRequestResponse}, {"bulk", RunBulk},
    {"idle", RunIdle},   {"flood", RunFlood},
};

[[noreturn]] void Usage(const std::string& what) {
  std::fprintf(stderr, "load: %s\n", what.c_str());
  std::exit(2);
}

uint64_t Number(const std::string& flag, const char* text) {
  char* end = nullptr;
  const unsigned long long value = std::strtoull(text, &end, 10);
  if (end == text || *end != '\0' || value == 0) {
    Usage(flag + ": not a number above 0: " + text);
  }
  return value;
}

LoadOptions Parse(int argc, char** argv) {
  LoadOptions options;
  if (argc < 2 || kModes.count(argv[1]) == 0) {
    Usage("the mode must be short, rr, bulk, idle or flood");
  }
  options.mode = argv[1];
  const std::map<std::string, uint64_t*> numbers = {
      {"--connections", &options.connections},
      {"--size", &options.size},
      {"--units", &options.units},
      {"--clients", &options.clients},
      {"--window", &options.window},
      {"--period", &options.period},
  };
  for (int i = 2; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--gate") {
      options.gate = true;
      continue;
    }
    if (++i == argc) Usage(flag + " needs a value, or is unknown");
    const auto number = numbers.find(flag);
    if (number != numbers.end()) {
      *number->second = Number(flag, argv[i]);
    } else if (flag == "--to") {
      options.to = ParseEndpoint(argv[i]);
    } else if (flag == "--timeout") {
      options.timeout = static_cast<double>(Number(flag, argv[i]));
    } else if (flag == "--end" && std::string(argv[i]) == "rst") {
      options.reset = true;
    } else if (flag != "--end" || std::string(argv[i]) != "fin") {
      Usage("unknown: " + flag + " " + argv[i]);
    }
  }
  if (options.to.sin_port == 0) Usage("--to ADDRESS:PORT is missing");
  return options;
}

}  // namespace
}  // namespace portreeve::bench

int main(int argc, char** argv) {
  portreeve::bench::LoadRun run(portreeve::bench::Parse(argc, argv));
  portreeve::bench::RaiseDescriptorLimit();
  portreeve::bench::kModes.at(run.options.mode)(run);
  return 0;
}
