// A remote handler: the daemon owns the sockets, this program serves their
// connections, through the client library.  It sends back in capitals what it
// receives, until SIGTERM or SIGINT; then it closes the listener, and ends once
// the last connection has.
//
//   remote_handler [ADDRESS OF THE DAEMON]
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <future>
#include <list>
#include <string>
#include <thread>

#include "absl/strings/ascii.h"
#include "client/client.h"

using portreeve::client::Client;
using portreeve::client::Stream;
using portreeve::client::Worker;
namespace v1 = portreeve::v1;

namespace {

// Serves one connection, from its offer to its end.
void Serve(Client& client, const std::string& connection) {
  absl::StatusOr<Stream> stream = client.Attach(connection);
  if (!stream.ok()) return;  // It has left, or another worker has it.
  while (true) {
    const absl::StatusOr<v1::ServerFrame> frame = stream->Read();
    // Without an end in order the daemon resets the connection.
    if (!frame.ok() || frame->has_closed()) return;
    if (frame->has_data()) {
      // Fails once the connection has ended, which Read() gives then.
      (void)stream->Send(absl::AsciiStrToUpper(frame->data()));
    } else if (frame->has_eof()) {
      (void)stream->Done();  // What was sent is flushed.
    }
  }
}

// Gives OK once the listener is closed, and its last connection has ended.
absl::Status Work(Client& client, const std::string& listener) {
  absl::StatusOr<Worker> worker = client.Handle(listener);
  if (!worker.ok()) return worker.status();
  std::list<std::future<void>> connections;  // Each waits for its thread.
  while (true) {
    const auto next = worker->Next();
    if (!next.ok()) return next.status();
    if (!next->has_value()) return absl::OkStatus();
    connections.remove_if([](const std::future<void>& ended) {
      return ended.wait_for(std::chrono::seconds(0)) ==
             std::future_status::ready;
    });
    if ((*next)->has_offer()) {
      connections.push_back(std::async(std::launch::async, Serve,
                                       std::ref(client),
                                       (*next)->offer().connection().name()));
    }
    // A `handler_error` never comes, since Serve() never raises.
  }
}

absl::Status Run(const std::string& daemon, const sigset_t& signals) {
  absl::StatusOr<Client> client = Client::ForAddress(daemon);
  if (!client.ok()) return client.status();

  v1::CreateListenerRequest request;
  v1::WhereToListen::Inet& where =
      *request.mutable_spec()->mutable_where_to_listen()->mutable_inet();
  where.set_address("127.0.0.1");
  where.set_port(0);  // The OS's choice.
  request.mutable_spec()->mutable_handler()->mutable_remote();
  // No client closes the port of all.
  request.mutable_spec()->set_on_handler_error(v1::ON_HANDLER_ERROR_IGNORE);
  const absl::StatusOr<v1::Listener> listener = client->CreateListener(request);
  if (!listener.ok()) return listener.status();
  std::printf("%s listens on port %d\n", listener->name().c_str(),
              listener->status().listening_on().inet().port());
  std::fflush(stdout);

  std::thread closer([&] {
    int signal = 0;
    sigwait(&signals, &signal);
    v1::CloseListenerRequest close;
    close.set_name(listener->name());
    (void)client->CloseListener(close);  // Where it fails, Work() has ended.
  });
  const absl::Status status = Work(*client, listener->name());
  kill(getpid(), SIGTERM);  // So that the closer ends, too, if it waits still.
  closer.join();
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  // All threads inherit this: the signals are for sigwait() alone.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, nullptr);

  const absl::Status status =
      Run(argc > 1 ? argv[1] : "tcp:127.0.0.1:50051", signals);
  if (status.ok()) return 0;
  std::fprintf(stderr, "remote_handler: %s\n", status.ToString().c_str());
  return 1;
}
