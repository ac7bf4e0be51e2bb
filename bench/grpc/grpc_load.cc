// grpc_load: loads portreeved, or grpc_peer beside it, over gRPC.  A mode does
// a fixed amount of work and prints one line of JSON (measurement.h).
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <iostream>
#include <string>

#include "bench/grpc/bulk_load.h"
#include "bench/grpc/control_load.h"
#include "bench/grpc/first_byte_load.h"
#include "bench/grpc/hold_load.h"
#include "bench/grpc/options.h"
#include "bench/grpc/watch_load.h"

namespace portreeve::bench {
namespace {

// Every mode's options, as the command line fills them.
struct Options {
  Target target;
  ControlOptions control;
  UnaryOptions unary;
  FirstByteOptions first_byte;
  WatchOptions watch;
  HoldOptions hold;
  BulkOptions bulk;
};

CLI::App* AddMode(CLI::App& app, Options& options, const std::string& name,
                  const std::string& help) {
  CLI::App* mode = app.add_subcommand(name, help);
  mode->add_option("--server", options.target.server, "Where the server is")
      ->type_name("HOST:PORT")
      ->required();
  mode->add_option("--pid", options.target.pid,
                   "The server's process: its CPU time is measured");
  return mode;
}

// A number that is at least `least`.
template <typename Number>
void Add(CLI::App* mode, const std::string& name, Number& number,
         const std::string& help, Number least = 1) {
  mode->add_option(name, number, help)
      ->check(CLI::Range(least, std::numeric_limits<Number>::max()))
      ->capture_default_str();
}

void AddCalls(CLI::App* mode, int64_t& calls, int64_t& warm_up,
              int& in_flight) {
  Add(mode, "--calls", calls, "How many are measured");
  Add(mode, "--warm-up", warm_up, "How many come before those", int64_t{0});
  Add(mode, "--in-flight", in_flight, "How many at a time");
}

template <typename Options>
void AddAnswer(CLI::App* mode, Options& options) {
  Add(mode, "--question", options.question_bytes, "Bytes of a question", 0);
  Add(mode, "--answer", options.answer_bytes, "Bytes of an answer", 0);
}

void AddBulk(CLI::App* mode, BulkOptions& bulk) {
  Add(mode, "--connections", bulk.connections, "Connections, or streams");
  Add(mode, "--message", bulk.message_bytes, "Bytes of a message");
  Add(mode, "--bytes", bulk.bytes, "Bytes each way, on all connections");
  Add(mode, "--in-flight", bulk.in_flight,
      "Messages of one connection that are on their way");
}

int Main(int argc, char** argv) {
  CLI::App app("Loads portreeved, or a bare gRPC server", "grpc_load");
  app.require_subcommand(1);
  Options options;
  std::function<std::string()> run;
  const auto add = [&](const std::string& name, const std::string& help,
                       auto function, auto& of_mode) {
    CLI::App* mode = AddMode(app, options, name, help);
    mode->callback([&run, &options, &of_mode, function] {
      run = [&options, &of_mode, function] {
        return function(options.target, of_mode);
      };
    });
    return mode;
  };

  ControlOptions& control = options.control;
  AddCalls(add("control", "Creates and closes listeners", RunControl, control),
           control.calls, control.warm_up, control.in_flight);

  CLI::App* mode = add("sockets", "Opens and closes sockets of grpc_peer",
                       RunSockets, control);
  AddCalls(mode, control.calls, control.warm_up, control.in_flight);
  AddAnswer(mode, control);
  mode->add_flag("--on-loop", control.on_loop,
                 "One thread of grpc_peer does it for all calls, and answers");

  UnaryOptions& unary = options.unary;
  mode = add("unary", "Calls grpc_peer", RunUnary, unary);
  AddCalls(mode, unary.calls, unary.warm_up, unary.in_flight);
  AddAnswer(mode, unary);

  FirstByteOptions& first_byte = options.first_byte;
  mode = add("first_byte", "Creates a listener and talks to it", RunFirstByte,
             first_byte);
  Add(mode, "--listeners-open", first_byte.listeners_open,
      "How many others are open meanwhile", 0);
  Add(mode, "--rounds", first_byte.rounds, "How often");

  WatchOptions& watch = options.watch;
  mode = add("watch", "Watches until stdin has a line", RunWatch, watch);
  Add(mode, "--watchers", watch.watchers, "How many");
  Add(mode, "--lone-events", watch.lone_events,
      "Events to make first, one at a time, for their latency", 0);

  HoldOptions& hold = options.hold;
  mode = add("hold", "Holds idle streams of grpc_peer until stdin has a line",
             RunHold, hold);
  Add(mode, "--streams", hold.streams, "How many");

  AddBulk(
      add("remote", "Bulk through a remote handler", RunRemote, options.bulk),
      options.bulk);
  AddBulk(add("bidi", "Bulk through grpc_peer", RunBidi, options.bulk),
          options.bulk);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  std::cout << run() << std::endl;
  return 0;
}

}  // namespace
}  // namespace portreeve::bench

int main(int argc, char** argv) { return portreeve::bench::Main(argc, argv); }
